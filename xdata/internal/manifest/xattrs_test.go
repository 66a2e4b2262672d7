package manifest

import (
	"errors"
	"strings"
	"testing"

	"mxcluster/internal/fault"
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
	x := Xattrs("").Add("user.a", make([]byte, MaxXattrValue)).Add("user.b", make([]byte, MaxXattrValue-100))
	must(t, x.CheckSize("a"))
	wantCode(t, x.Add("user.c", make([]byte, 200)).CheckSize("a"), fault.Refused, `attributes of "a" have`)
}

func TestExtrasOfAPeer(t *testing.T) {
	good := Xattrs("").Add(AclAccess, []byte(aclOf(6, 6, 4, 6, 0))).Add("user.a", []byte("1")).Add("user.b", nil)
	must(t, good.Check(false))
	for name, x := range map[string]Xattrs{
		"capability":             Xattrs("").Add("security.capability", []byte("x")),
		"trusted":                Xattrs("").Add("trusted.overlay.whiteout", []byte("y")),
		"label":                  Xattrs("").Add("security.selinux", []byte("y")),
		"no name":                Xattrs("").Add("user.", nil),
		"NUL":                    Xattrs("").Add("user.a\x00b", nil),
		"long name":              Xattrs("").Add("user."+strings.Repeat("n", 255), nil),
		"long value":             Xattrs("").Add("user.a", make([]byte, MaxXattrValue+1)),
		"twice":                  Xattrs("").Add("user.a", nil).Add("user.a", nil),
		"unsorted":               Xattrs("").Add("user.b", nil).Add("user.a", nil),
		"default list of a file": Xattrs("").Add(AclDefault, []byte(aclOf(6, 6, 4, 6, 0))),
		"list of nonsense":       Xattrs("").Add(AclAccess, []byte("nonsense")),
		"list without an owner":  Xattrs("").Add(AclAccess, []byte("\x02\x00\x00\x00\x20\x00\x04\x00\xff\xff\xff\xff")),
		"cut off":                good[:len(good)-1],
		"more behind":            good + "x",
		"longer number":          "\x86\x00user.a\x00",
		"too much":               Xattrs(strings.Repeat("x", MaxXattrs+1)),
	} {
		if err := x.Check(false); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
