package manifest

import "encoding/binary"

// acl is a decoded access list, without the parts that do not limit permissions.
type acl struct {
	group  uint32   // permissions of the owning group
	others uint32   // permissions of all others
	mask   uint32   // upper bound for everybody but the owner and others
	named  []uint32 // permissions of named users and groups
}

// decodeACL decodes an access list in the kernel's format; nil if it is invalid.
func decodeACL(value string) *acl {
	const (
		version                                     = 2
		head, size                                  = 4, 8
		owner, user, owning, group, mask, everybody = 1, 2, 4, 8, 16, 32
	)
	b := []byte(value)
	if len(b) < head || (len(b)-head)%size != 0 || binary.LittleEndian.Uint32(b) != version {
		return nil
	}
	a := acl{mask: 7}
	seen := 0
	for b = b[head:]; len(b) > 0; b = b[size:] {
		tag, perm := int(binary.LittleEndian.Uint16(b)), uint32(binary.LittleEndian.Uint16(b[2:]))
		if perm > 7 || tag&(owner|owning|mask|everybody)&seen != 0 {
			return nil
		}
		switch seen |= tag; tag {
		case owner:
		case owning:
			a.group = perm
		case mask:
			a.mask = perm
		case everybody:
			a.others = perm
		case user, group:
			a.named = append(a.named, perm)
		default:
			return nil
		}
	}
	if len(value) > head && seen&(owner|owning|everybody) != owner|owning|everybody {
		return nil
	}
	return &a
}

// narrowed returns the permission bits of a file that loses its access list. The group keeps its
// own bits instead of the mask, and others get no more than any user or group that was named.
func narrowed(mode uint32, value string) uint32 {
	a := decodeACL(value)
	if a == nil {
		return mode &^ 0o077
	}
	group, others := a.group&a.mask, a.others
	for _, perm := range a.named {
		others &= perm & a.mask
	}
	return mode&^0o077 | mode&(group<<3|others)
}
