package chunk

import "testing"

func TestHoleIsTheChunkOfNothing(t *testing.T) {
	if id := Of(nil).ID; id != holeID {
		t.Errorf("%x", id)
	}
}
