package manifest

import (
	"encoding/binary"
	"encoding/json"
	"strings"

	"mxcluster/internal/fault"
)

// Xattrs is the encoded list of a file's or folder's access lists (ACL) and user attributes. For
// each, in the order of names: length of the name, name, length of the value, value. "" is an empty
// list.
//
// Capabilities and trusted attributes are not kept, for the same reason as set-user-ID bits: a peer
// must not be able to install a privileged program. Security labels are left to the policy of each
// server.
type Xattrs string

// Names of attributes with a meaning for the kernel.
const (
	AclAccess  = "system.posix_acl_access"
	AclDefault = "system.posix_acl_default" // of folders: the access list for new files in them
	UserPrefix = "user."
)

// Bounds of what a peer may send; the kernel accepts no larger attributes.
const (
	maxXattrName  = 255
	MaxXattrValue = 64 << 10
	MaxXattrs     = 128 << 10 // bytes of one file or folder
	maxAllXattrs  = 64 << 20  // bytes of a version
)

// KeepsXattr tells whether attributes with a name are kept.
func KeepsXattr(name string, dir bool) bool {
	return name == AclAccess || name == AclDefault && dir || strings.HasPrefix(name, UserPrefix) && len(name) > len(UserPrefix)
}

// Add appends an attribute; names must be added in order.
func (x Xattrs) Add(name string, value []byte) Xattrs {
	b := binary.AppendUvarint([]byte(x), uint64(len(name)))
	b = binary.AppendUvarint(append(b, name...), uint64(len(value)))
	return Xattrs(append(b, value...))
}

// All iterates over the attributes. It stops where the encoding is invalid.
func (x Xattrs) All(yield func(name, value string) bool) {
	for len(x) > 0 {
		name, rest, ok := x.field()
		value, rest, also := rest.field()
		if !ok || !also || !yield(name, value) {
			return
		}
		x = rest
	}
}

// field decodes a length and as many bytes from the front.
func (x Xattrs) field() (text string, rest Xattrs, ok bool) {
	n, size := binary.Uvarint([]byte(x[:min(len(x), binary.MaxVarintLen64)]))
	if size <= 0 || n > uint64(len(x)-size) {
		return "", "", false
	}
	x = x[size:]
	return string(x[:n]), x[n:], true
}

// Check refuses attributes that a peer may not send.
func (x Xattrs) Check(dir bool) error {
	if len(x) > MaxXattrs {
		return Violation("%d bytes of attributes", len(x))
	}
	var canonical Xattrs
	last := ""
	for name, value := range x.All {
		acl := name == AclAccess || name == AclDefault
		switch {
		case !KeepsXattr(name, dir) || strings.ContainsRune(name, 0) || len(name) > maxXattrName || len(value) > MaxXattrValue:
			return Violation("the attribute %.40q of %d bytes", name, len(value))
		case name <= last:
			return Violation("the attribute %.40q after %.40q", name, last)
		case acl && decodeACL(value) == nil:
			return Violation("an access list that cannot be read")
		}
		canonical, last = canonical.Add(name, []byte(value)), name
	}
	if canonical != x {
		return Violation("attributes that cannot be read")
	}
	return nil
}

// MarshalJSON encodes the bytes as base64, unchanged.
func (x Xattrs) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(x)) }

// UnmarshalJSON is the inverse of MarshalJSON.
func (x *Xattrs) UnmarshalJSON(text []byte) error {
	var b []byte
	err := json.Unmarshal(text, &b)
	*x = Xattrs(b)
	return err
}

// CheckSize refuses a file with more attributes than can be copied.
func (x Xattrs) CheckSize(name string) error {
	if len(x) <= MaxXattrs {
		return nil
	}
	return fault.New(fault.Refused, "remove some with setfattr -x", "the extended attributes of %q have %d bytes; at most %d can be copied",
		Shortened(name), len(x), MaxXattrs)
}
