package xdata

import (
	"strings"
	"testing"
)

func TestEntryCoding(t *testing.T) {
	want := []entry{
		{Path: "d\xff", Dir: true, Attr: attributes{Mode: folderModes, UID: 1<<32 - 1, GID: 7, Mtime: -1}},
		{Path: strings.Repeat("x", maxPath), Size: 1<<63 - 1, Attr: attributes{Mtime: noMtime}},
	}
	var b []byte
	for i := range want {
		b = appendEntry(b, &want[i])
	}
	for i := range want {
		got, rest, err := decodeEntry(b)
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
