package manifest

import (
	"strings"
	"testing"
)

func TestEntryCoding(t *testing.T) {
	want := []Entry{
		{Path: "d\xff", Dir: true, Attr: Attributes{Mode: folderModes, UID: 1<<32 - 1, GID: 7, Mtime: -1}},
		{Path: strings.Repeat("x", MaxPath), Size: 1<<63 - 1, Attr: Attributes{Mtime: NoMtime}},
	}
	var b []byte
	for i := range want {
		b = AppendEntry(b, &want[i])
	}
	for i := range want {
		got, rest, err := DecodeEntry(b)
		must(t, err)
		if got != want[i] {
			t.Errorf("got %+v, want %+v", got, want[i])
		}
		b = rest
	}
	if len(b) != 0 {
		t.Errorf("%d bytes left", len(b))
	}
}
