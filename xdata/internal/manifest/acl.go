package manifest

import "encoding/binary"

// acl is an access list, as far as it bears on the permissions.
type acl struct {
	group  uint32   // of the owning group
	others uint32   // of everybody else
	mask   uint32   // what all but the owner and others have at most
	named  []uint32 // of users and groups that are named
}

// decodeACL reads an access list as the kernel gives and takes it; nil for what is none.
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

// narrowed returns permission bits for a file that loses its access list: those of the
// group are its own, not the mask, and others may do no more than anyone who was named.
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
