package clusterconf

import (
	"reflect"
	"testing"

	"mxcluster/internal/fault"
)

// FuzzParse holds that nothing makes Parse panic, that what is refused is
// refused with a place, and that what is accepted survives being written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(twoLIMs))
	f.Add([]byte(full))
	f.Add(Encode(uncreated()))
	f.Add([]byte("a: &a [*a]\n---\n"))
	addDocuments(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("fuzz.yaml", data)
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("code %d", fault.CodeOf(err))
			}
			for _, v := range violationsOf(t, err) {
				if v.Line < 1 || v.Column < 1 || v.Rule == "" || v.Message == "" {
					t.Errorf("incomplete violation %+v", v)
				}
			}
			return
		}
		if found := Validate(d); found != nil {
			t.Errorf("accepted, but %+v", found)
		}
		written := Encode(d)
		back, err := Parse("again.yaml", written)
		if err != nil {
			t.Fatalf("%v in\n%s", err, written)
		}
		if !reflect.DeepEqual(back, d) {
			t.Errorf("got  %+v\nwant %+v", back, d)
		}
	})
}
