package manifest

import (
	"fmt"
	"slices"
)

// ShapedLike tells whether two versions have the same files and folders, by name and size.
func (m *Manifest) ShapedLike(o *Manifest) bool {
	return m != nil && slices.EqualFunc(m.Entries, o.Entries, func(a, b Entry) bool {
		return a.Path == b.Path && a.Dir == b.Dir && a.Size == b.Size
	})
}

// CompareShapes names the files that cannot be what they were, without reading any.
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

// eachFile calls f for each file of one version, with what another one has of its path; nil:
// nothing.
func eachFile(of, in *Manifest, f func(file, other *Entry)) {
	var there finder
	for i := range of.Entries {
		if e := &of.Entries[i]; !e.Dir {
			f(e, there.find(in, e.Path))
		}
	}
}

// added names the files that came to a version.
func added(kept, now *Manifest) (damage []string) {
	eachFile(now, kept, func(n, k *Entry) {
		if k == nil {
			damage = append(damage, fmt.Sprintf("%q does not belong to it", n.Path))
		}
	})
	return damage
}

func missing(path string) string { return fmt.Sprintf("%q is missing", path) }

// NoFile words the damage of a path where a folder or a link lies in the place of a file.
func NoFile(path string) string { return fmt.Sprintf("%q is no file any more", path) }

// CompareSums names the files that are not what they were. Nothing kept is
// nothing to hold against.
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

// Rotted tells whether a file is not what was kept of it. Another program may
// rewrite its own version, which shows in times and sizes: what rots shows in
// neither. A file that was not read since is taken for what it was.
func Rotted(kept, now *Entry, foreign bool) bool {
	if !now.Known || now.Sum == kept.Sum {
		return false
	}
	return !foreign || now.Attr.Mtime == kept.Attr.Mtime && now.Size == kept.Size
}

// DoesNotMatch words the damage of a file whose content is not what it was.
func DoesNotMatch(name string) string { return fmt.Sprintf("%q does not match its hash", name) }

// InShort puts what is wrong with a version into few words.
func InShort(damage []string) string {
	if len(damage) == 1 {
		return damage[0]
	}
	return fmt.Sprintf("%s, and %d more", damage[0], len(damage)-1)
}

// SharesFile tells whether a version that looks like now came of one that an index is kept of: it
// has one of its files at least.
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
