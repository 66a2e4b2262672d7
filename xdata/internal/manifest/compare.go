package manifest

import (
	"fmt"
	"slices"
)

// ShapedLike tells whether two versions have the same files and folders, by path and size.
func (m *Manifest) ShapedLike(o *Manifest) bool {
	return m != nil && slices.EqualFunc(m.Entries, o.Entries, func(a, b Entry) bool {
		return a.Path == b.Path && a.Dir == b.Dir && a.Size == b.Size
	})
}

// CompareShapes lists the files whose content must differ from kept, by paths and sizes alone.
func CompareShapes(kept, now *Manifest) (damage []string) {
	eachFile(kept, now, func(k, n *Entry) {
		switch {
		case n == nil:
			damage = append(damage, missing(k.Path))
		case n.CheckKind() != nil || n.Dir:
			damage = append(damage, NoFile(k.Path))
		case n.Size != k.Size:
			damage = append(damage, fmt.Sprintf("%q has %d bytes instead of %d", k.Path, n.Size, k.Size))
		}
	})
	return append(damage, added(kept, now)...)
}

// eachFile calls f for each file of a version, with the entry of its path in another version; nil:
// it has none.
func eachFile(of, in *Manifest, f func(file, other *Entry)) {
	var there finder
	for i := range of.Entries {
		if e := &of.Entries[i]; !e.Dir {
			f(e, there.find(in, e.Path))
		}
	}
}

// added lists the files that are in now and not in kept.
func added(kept, now *Manifest) (damage []string) {
	eachFile(now, kept, func(n, k *Entry) {
		if k == nil {
			damage = append(damage, fmt.Sprintf("%q does not belong to it", n.Path))
		}
	})
	return damage
}

func missing(path string) string { return fmt.Sprintf("%q is missing", path) }

// NoFile words the damage that a path is no longer a file.
func NoFile(path string) string { return fmt.Sprintf("%q is no file any more", path) }

// CompareSums lists the files that differ from kept. Without kept, nothing is compared.
func CompareSums(kept, now *Manifest, foreign bool) (damage []string) {
	if kept == nil {
		return nil
	}
	eachFile(kept, now, func(k, n *Entry) {
		switch {
		case n == nil || n.Dir:
			if !foreign {
				damage = append(damage, missing(k.Path))
			}
		case Rotted(k, n, foreign):
			damage = append(damage, DoesNotMatch(k.Path))
		}
	})
	if foreign {
		return damage
	}
	return append(damage, added(kept, now)...)
}

// Rotted tells whether a file's content changed by bit rot. Another program may rewrite its own
// version (foreign): that changes sizes or times, which bit rot does not. A file that was not read
// counts as unchanged.
func Rotted(kept, now *Entry, foreign bool) bool {
	if !now.Known || now.Sum == kept.Sum {
		return false
	}
	return !foreign || now.Attr.Mtime == kept.Attr.Mtime && now.Size == kept.Size
}

// DoesNotMatch words the damage that a file's content does not match its hash.
func DoesNotMatch(name string) string { return fmt.Sprintf("%q does not match its hash", name) }

// InShort summarises a list of damage.
func InShort(damage []string) string {
	if len(damage) == 1 {
		return damage[0]
	}
	return fmt.Sprintf("%s, and %d more", damage[0], len(damage)-1)
}

// SharesFile tells whether two manifests have a file in common, so that an index kept may describe
// the version now.
func SharesFile(kept, now *Manifest) bool {
	var was finder
	return slices.ContainsFunc(now.Entries, func(e Entry) bool {
		if e.Dir {
			return false
		}
		k := was.find(kept, e.Path)
		return k != nil && !k.Dir && k.Size == e.Size && Coarse(k.Attr.Mtime) == Coarse(e.Attr.Mtime)
	})
}
