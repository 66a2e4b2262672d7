package xdata

import "testing"

func TestHoleIsTheChunkOfNothing(t *testing.T) {
	if id := chunkOf(nil).ID; id != holeID {
		t.Errorf("%x", id)
	}
}
