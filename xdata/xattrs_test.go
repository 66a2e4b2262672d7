package xdata

import (
	"errors"
	"mxcluster/internal/fault"
	"strings"
	"testing"
)

// Without its access list a file lets nobody do more.
func TestNarrowed(t *testing.T) {
	for _, c := range []struct {
		name string
		mode uint32
		acl  string
		want uint32
	}{
		{"a user may write, the group may read", 0o660, aclOf(6, 6, 4, 6, 0), 0o640},
		{"the mask narrows the group", 0o640, aclOf(6, 6, 6, 4, 0), 0o640},
		{"a user may do less than others", 0o664, aclOf(6, 0, 6, 6, 4), 0o660},
		{"a user may do less than others by the mask", 0o644, aclOf(6, 6, 4, 4, 6), 0o644},
		{"a sticky folder", 0o1775, aclOf(7, 7, 5, 7, 5), 0o1755},
		{"not an access list", 0o664, "nonsense", 0o600},
		{"the mode forbids more than the list", 0o600, aclOf(6, 6, 6, 6, 6), 0o600},
	} {
		if is := narrowed(c.mode, c.acl); is != c.want {
			t.Errorf("%s: %o, want %o", c.name, is, c.want)
		}
	}
}

// Few file systems hold so many; what is held against the limit is what was read.
func TestExtrasBeyondTheLimit(t *testing.T) {
	x := extras("").add("user.a", make([]byte, maxExtraValue)).add("user.b", make([]byte, maxExtraValue-100))
	must(t, x.fit("a"))
	wantCode(t, x.add("user.c", make([]byte, 200)).fit("a"), fault.Refused, `attributes of "a" have`)
}

func TestExtrasOfAPeer(t *testing.T) {
	good := extras("").add(aclAccess, []byte(aclOf(6, 6, 4, 6, 0))).add("user.a", []byte("1")).add("user.b", nil)
	must(t, good.check(false))
	for name, x := range map[string]extras{
		"capability":             extras("").add("security.capability", []byte("x")),
		"trusted":                extras("").add("trusted.overlay.whiteout", []byte("y")),
		"label":                  extras("").add("security.selinux", []byte("y")),
		"no name":                extras("").add("user.", nil),
		"NUL":                    extras("").add("user.a\x00b", nil),
		"long name":              extras("").add("user."+strings.Repeat("n", 255), nil),
		"long value":             extras("").add("user.a", make([]byte, maxExtraValue+1)),
		"twice":                  extras("").add("user.a", nil).add("user.a", nil),
		"unsorted":               extras("").add("user.b", nil).add("user.a", nil),
		"default list of a file": extras("").add(aclDefault, []byte(aclOf(6, 6, 4, 6, 0))),
		"list of nonsense":       extras("").add(aclAccess, []byte("nonsense")),
		"list without an owner":  extras("").add(aclAccess, []byte("\x02\x00\x00\x00\x20\x00\x04\x00\xff\xff\xff\xff")),
		"cut off":                good[:len(good)-1],
		"more behind":            good + "x",
		"longer number":          "\x86\x00user.a\x00",
		"too much":               extras(strings.Repeat("x", maxExtras+1)),
	} {
		if err := x.check(false); !errors.Is(err, errProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
