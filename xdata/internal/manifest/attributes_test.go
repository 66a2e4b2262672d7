package manifest

import (
	"testing"
	"time"
)

func TestNanosecondsKeepOrder(t *testing.T) {
	times := []time.Time{
		{}, time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(-1, 0), time.Unix(0, 0),
		time.Unix(0, 1), time.Unix(0, 500_000_000), time.Unix(1_750_000_000, 123456789), time.Date(2446, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for i := 1; i < len(times); i++ {
		if Nanoseconds(times[i]) < Nanoseconds(times[i-1]) {
			t.Errorf("%v sorts before %v", times[i], times[i-1])
		}
	}
}
