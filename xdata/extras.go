package xdata

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// extras are the access lists (ACL) and extended attributes of users that a file or folder
// has, as they are encoded: for each, in the order of the names, the length of its name, the
// name, the length of its value, and the value. "" is none.
//
// Capabilities and trusted attributes are not among them, for the reason that
// set-user-ID is not among the modes: data need none, and a peer must not be able to plant
// such a program. Security labels are up to the policy of each server.
type extras string

// Names of attributes that mean something to the kernel.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default" // of folders, for what is made in them
	userPrefix = "user."
)

// Bounds of what a peer may send; the kernel lets no attribute be larger.
const (
	maxExtraName  = 255
	maxExtraValue = 64 << 10
	maxExtras     = 128 << 10 // bytes of one file or folder
	maxAllExtras  = 64 << 20  // bytes of a version
)

// keepsExtra tells whether an attribute of that name is kept.
func keepsExtra(name string, dir bool) bool {
	return name == aclAccess || name == aclDefault && dir || strings.HasPrefix(name, userPrefix) && len(name) > len(userPrefix)
}

// add appends an attribute, whose name comes after all others.
func (x extras) add(name string, value []byte) extras {
	b := binary.AppendUvarint([]byte(x), uint64(len(name)))
	b = binary.AppendUvarint(append(b, name...), uint64(len(value)))
	return extras(append(b, value...))
}

// all goes through the attributes. What is not encoded as it should be ends it.
func (x extras) all(yield func(name, value string) bool) {
	for len(x) > 0 {
		name, rest, ok := x.field()
		value, rest, also := rest.field()
		if !ok || !also || !yield(name, value) {
			return
		}
		x = rest
	}
}

// field takes a length, and what is so long, off the front.
func (x extras) field() (text string, rest extras, ok bool) {
	n, size := binary.Uvarint([]byte(x[:min(len(x), binary.MaxVarintLen64)]))
	if size <= 0 || n > uint64(len(x)-size) {
		return "", "", false
	}
	x = x[size:]
	return string(x[:n]), x[n:], true
}

// check refuses what a peer may not send.
func (x extras) check(dir bool) error {
	if len(x) > maxExtras {
		return violation("%d bytes of attributes", len(x))
	}
	var canonical extras
	last := ""
	for name, value := range x.all {
		acl := name == aclAccess || name == aclDefault
		switch {
		case !keepsExtra(name, dir) || strings.ContainsRune(name, 0) || len(name) > maxExtraName || len(value) > maxExtraValue:
			return violation("the attribute %.40q of %d bytes", name, len(value))
		case name <= last:
			return violation("the attribute %.40q after %.40q", name, last)
		case acl && decodeACL(value) == nil:
			return violation("an access list that cannot be read")
		}
		canonical, last = canonical.add(name, []byte(value)), name
	}
	if canonical != x {
		return violation("attributes that cannot be read")
	}
	return nil
}

// MarshalJSON keeps the bytes as they are.
func (x extras) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(x)) }

// UnmarshalJSON is the inverse of MarshalJSON.
func (x *extras) UnmarshalJSON(text []byte) error {
	var b []byte
	err := json.Unmarshal(text, &b)
	*x = extras(b)
	return err
}

// readExtras returns what an open file or folder has. left is told of an attribute that is
// not kept.
func readExtras(h handle, dir bool, left func(name string)) (extras, error) {
	names, err := attributeNames(h)
	if err != nil || len(names) == 0 {
		return "", err
	}
	var x extras
	for _, name := range names {
		if !keepsExtra(name, dir) {
			left(name)
			continue
		}
		value := make([]byte, 256)
		n, err := unix.Fgetxattr(h.fd, name, value)
		if errors.Is(err, unix.ERANGE) {
			value = make([]byte, maxExtraValue)
			n, err = unix.Fgetxattr(h.fd, name, value)
		}
		switch {
		case errors.Is(err, unix.ENODATA): // it was removed since
			continue
		case err != nil:
			return "", h.fail("read the attribute "+name, err)
		}
		x = x.add(name, value[:n])
	}
	return x, x.fit(h.name)
}

// fit refuses more of a file's attributes than can be copied.
func (x extras) fit(name string) error {
	if len(x) <= maxExtras {
		return nil
	}
	return fault.New(fault.Refused, "remove some with setfattr -x", "the extended attributes of %q have %d bytes; at most %d can be copied",
		shortened(name), len(x), maxExtras)
}

// attributeNames returns the names of all attributes, in order. File systems without any have none.
func attributeNames(h handle) ([]string, error) {
	buf := make([]byte, 256)
	n, err := unix.Flistxattr(h.fd, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, maxExtraValue) // the most that the kernel gives
		n, err = unix.Flistxattr(h.fd, buf)
	}
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, h.fail("list the attributes", err)
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	return names, nil
}

// give gives an open file or folder its attributes whose names have, or have not, the prefix
// of those of users. lost is told of one that is not kept there.
func (x extras) give(h handle, users bool, lost func(name string)) error {
	for name, value := range x.all {
		if strings.HasPrefix(name, userPrefix) != users {
			continue
		}
		err := unix.Fsetxattr(h.fd, name, []byte(value), 0)
		switch {
		case err == nil:
		case isUnkept(err):
			lost(name)
		default:
			return h.fail("write the attribute "+name, err)
		}
	}
	return nil
}

// isUnkept tells whether an error says that an attribute cannot be kept where it should be.
// A file system that has no room left says so as well when anything else is written.
func isUnkept(err error) bool {
	return slices.ContainsFunc([]error{unix.ENOTSUP, unix.EINVAL, unix.ENOSPC, unix.EDQUOT, unix.E2BIG, unix.ERANGE, unix.EPERM, unix.EACCES},
		func(is error) bool { return errors.Is(err, is) })
}

// inheritNothing takes the access lists off a folder that it got from the one above, as
// what is made in it would get them, too.
func inheritNothing(root *os.Root) error {
	in := folders{root: root}
	defer in.close()
	dir, err := in.openFolder(".")
	if err != nil {
		return err
	}
	defer dir.close()
	for _, name := range []string{aclDefault, aclAccess} {
		err := unix.Fremovexattr(dir.fd, name)
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return dir.fail("remove the attribute "+name, err)
		}
	}
	return nil
}

// unkept collects what was not kept of a version. nil collects nothing.
type unkept struct {
	mu    sync.Mutex
	lists fewOf // access lists
	other fewOf
}

// fewOf counts attributes.
type fewOf struct {
	count int
	such  string // the first one, by path
	path  string
}

func (f *fewOf) add(path, name string) {
	if f.count++; f.count == 1 || path < f.path || path == f.path && name < f.such {
		f.path, f.such = path, name
	}
}

// of returns what is to be told of the attributes of one file or folder. Labels that each
// server's policy gives are not told of.
func (u *unkept) of(path string) func(name string) {
	return func(name string) {
		if u == nil || strings.HasPrefix(name, "security.") && name != "security.capability" {
			return
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		if name == aclAccess || name == aclDefault {
			u.lists.add(path, name)
		} else {
			u.other.add(path, name)
		}
	}
}

// String says in a line what was not kept; "": nothing.
func (u *unkept) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var said []string
	if f := &u.lists; f.count > 0 {
		said = append(said, fmt.Sprintf("%d access lists (ACL) could not be kept, such as that of %q; the owning groups have the rights that the lists gave to them alone", f.count, shortened(f.path)))
	}
	if f := &u.other; f.count > 0 {
		said = append(said, fmt.Sprintf("%d extended attributes were not kept, such as %.64q of %q", f.count, f.such, shortened(f.path)))
	}
	return strings.Join(said, "; ")
}

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

// dressWith gives an open file or folder attributes that it has besides owner and mode: those of
// users while it may be written to, access lists at last, which take and make modes.
func (a *attributes) dressWith(h handle, lost func(name string)) error {
	if err := h.fail("chmod", unix.Fchmod(h.fd, a.Mode|0o600)); err != nil {
		return err
	}
	if err := a.Extra.give(h, true, lost); err != nil {
		return err
	}
	if err := h.fail("chmod", unix.Fchmod(h.fd, a.Mode)); err != nil {
		return err
	}
	mode := a.Mode
	err := a.Extra.give(h, false, func(name string) {
		lost(name)
		if name == aclAccess {
			mode = a.narrow()
		}
	})
	if err == nil && mode != a.Mode {
		err = h.fail("chmod", unix.Fchmod(h.fd, mode))
	}
	return err
}

// narrow returns the mode without the access list.
func (a *attributes) narrow() uint32 {
	for name, value := range a.Extra.all {
		if name == aclAccess {
			return narrowed(a.Mode, value)
		}
	}
	return a.Mode
}

// extras reads those of a folder.
func (d *folders) extras(e *entry) error {
	h, err := d.openFolder(e.Path)
	if err != nil {
		return err
	}
	e.Attr.Extra, err = readExtras(h, true, d.unkept.of(e.Path))
	return first(err, h.close())
}

// openFolder opens a folder; "." is the root itself.
func (d *folders) openFolder(name string) (handle, error) {
	return d.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}
