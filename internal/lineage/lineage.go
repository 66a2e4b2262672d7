// Package lineage tells which of two data versions is the newer one: by what each of
// them follows, and, where that is not known, by times (spec ch. 7). It is pure.
package lineage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Node names a version for good: the name that it got when it was made, and the hash of
// its content.
type Node struct {
	Name    string
	Content string // in hex; "" where it is not known
}

// IsZero reports whether there is no version.
func (n Node) IsZero() bool { return n == Node{} }

// MarshalText writes a node as its name, a blank and its content.
func (n Node) MarshalText() ([]byte, error) { return []byte(n.Name + " " + n.Content), nil }

var errNode = errors.New("not the name and content of a version")

// UnmarshalText reads what MarshalText wrote.
func (n *Node) UnmarshalText(text []byte) error {
	name, content, ok := strings.Cut(string(text), " ")
	if !ok || len(text) > maxNode || strings.ContainsRune(content, ' ') {
		return errNode
	}
	n.Name, n.Content = name, content
	return nil
}

const maxNode = 160 // bytes of a node's text

// Bounds of what a version remembers.
const (
	MaxAncestors = 64
	MaxRejected  = 16
	maxParents   = 2
)

// Version is what a version says of itself.
type Version struct {
	Node Node `json:"node"`
	// Made tells that 'xdata backup' made it, so that Ancestors are known.
	Made bool `json:"made,omitempty"`
	// Ancestors are what it follows, its parents first. The last of a full list may be
	// older than the one before by more than one generation.
	Ancestors []Node `json:"ancestors,omitempty"`
	// Rejected are versions that lost against an ancestor, or itself, in a conflict.
	Rejected []Node `json:"rejected,omitempty"`
	// Time stands for its age where lineage does not tell; nanoseconds since 1970.
	Time int64 `json:"time,omitempty"`
}

// Valid returns an error for what no version can say of itself.
func (v *Version) Valid() error {
	if len(v.Ancestors) > MaxAncestors || len(v.Rejected) > MaxRejected {
		return fmt.Errorf("%d ancestors and %d rejected versions", len(v.Ancestors), len(v.Rejected))
	}
	if v.Made && v.Node.Content == "" {
		return errors.New("a version without content")
	}
	return nil
}

// Order is how one version stands to another.
type Order int

// The orders.
const (
	Unknown Order = iota // the contents have to be compared first
	Same                 // nothing of the one is missing in the other
	Newer
	Older
	Apart // neither follows the other, and they differ: a conflict
)

// String names the order for tests and logs.
func (o Order) String() string { return [...]string{"unknown", "same", "newer", "older", "apart"}[o] }

// Reverse is the order seen from the other version.
func (o Order) Reverse() Order {
	switch o {
	case Newer:
		return Older
	case Older:
		return Newer
	}
	return o
}

// Coarse is how far two times of one file may be apart because of what file systems
// keep of them: 2 s on FAT, whole seconds on others.
const Coarse = 2 * time.Second

// Compare tells how a stands to b. A version that follows another is newer, whatever
// the times say. Equal content is equal. Of versions that both know what they follow,
// and where neither does, none is newer; else times tell.
func Compare(a, b *Version) Order {
	if order := byLineage(a, b); order != Unknown {
		return order
	}
	switch known := a.Node.Content != "" && b.Node.Content != ""; {
	case a.Made && b.Made:
		return Apart
	case a.mayFollow(b) || b.mayFollow(a), !known && close(a.Time, b.Time):
		return Unknown
	case a.Time > b.Time:
		return Newer
	case a.Time < b.Time:
		return Older
	}
	return Apart
}

// byLineage is Compare without times; Unknown where these have to tell, or nothing can.
func byLineage(a, b *Version) Order {
	switch to, from := a.follows(b), b.follows(a); {
	case to && !from:
		return Newer
	case from && !to:
		return Older
	case a.Node.Content != "" && a.Node.Content == b.Node.Content:
		return Same
	}
	// A version that was made of what another holds includes it, under whatever name.
	switch to, from := a.includes(b), b.includes(a); {
	case to && !from:
		return Newer
	case from && !to:
		return Older
	}
	return Unknown
}

// close tells whether two times may be one time on two file systems.
func close(a, b int64) bool {
	low, high := min(a, b), max(a, b)
	return high-low >= 0 && high-low <= int64(Coarse)
}

// follows reports whether b is an ancestor. Where it is not known what an ancestor held
// its name stands for it.
func (v *Version) follows(b *Version) bool {
	return slices.ContainsFunc(v.Ancestors, func(n Node) bool { return n.is(b.Node) })
}

func (n Node) is(o Node) bool { return n.Name == o.Name && (n.Content == o.Content || n.Content == "") }

// mayFollow reports whether b, whose content is not known, has the name of an ancestor:
// it may have changed since.
func (v *Version) mayFollow(b *Version) bool {
	return b.Node.Content == "" && slices.ContainsFunc(v.Ancestors, func(n Node) bool { return n.Name == b.Node.Name })
}

// includes reports whether an ancestor had b's content, and all that b follows is followed.
// Data that were changed and put back are not included: somebody wanted them back.
func (v *Version) includes(b *Version) bool {
	if b.Node.Content == "" || slices.ContainsFunc(b.Ancestors, func(n Node) bool { return !slices.Contains(v.Ancestors, n) }) {
		return false
	}
	return slices.ContainsFunc(v.Ancestors, func(n Node) bool { return n.Content == b.Node.Content })
}

// Rejects reports whether a version lost against v in a conflict.
func (v *Version) Rejects(n Node) bool {
	return slices.ContainsFunc(v.Rejected, n.is)
}

// Child returns what a version says of itself that follows parents, at a time. Of the
// ancestors that are too many the oldest are forgotten, but for those of keep: what the
// other side is known to have.
func Child(n Node, at int64, keep Node, parents ...*Version) Version {
	v := Version{Node: n, Made: true, Time: at}
	var generations [][]Node
	for _, p := range parents {
		v.Ancestors = add(v.Ancestors, p.Node)
		v.Rejected = add(v.Rejected, p.Rejected...)
		v.Time = max(v.Time, after(p.Time))
		generations = append(generations, p.Ancestors)
	}
	for i := range MaxAncestors {
		for _, g := range generations {
			if i < len(g) {
				v.Ancestors = add(v.Ancestors, g[i])
			}
		}
	}
	if len(v.Ancestors) > MaxAncestors {
		kept := slices.Contains(v.Ancestors, keep) && !slices.Contains(v.Ancestors[:MaxAncestors], keep)
		v.Ancestors = v.Ancestors[:MaxAncestors]
		if kept {
			v.Ancestors[MaxAncestors-1] = keep
		}
	}
	v.Rejected = v.Rejected[:min(len(v.Rejected), MaxRejected)]
	return v
}

// Join returns a version that has the content of another one, which it does not follow,
// with what that one follows, too: what follows the one from now on follows both.
func Join(v, other *Version) Version {
	joined := Child(v.Node, 0, Node{}, v, other)
	joined.Made, joined.Time = v.Made, v.Time
	joined.Ancestors = slices.DeleteFunc(joined.Ancestors, func(n Node) bool { return n == v.Node })
	return joined
}

// after is a little later than a time.
func after(t int64) int64 {
	if t == 1<<63-1 {
		return t
	}
	return t + 1
}

// add adds nodes that are not there yet.
func add(all []Node, more ...Node) []Node {
	for _, n := range more {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// Resolve returns what the version says of itself that ends a conflict between kept and
// lost, with the content of kept.
func Resolve(n Node, at int64, kept, lost *Version) Version {
	v := Child(n, at, Node{}, kept, lost)
	v.Rejected = add([]Node{lost.Node}, v.Rejected...)
	v.Rejected = v.Rejected[:min(len(v.Rejected), MaxRejected)]
	return v
}

// Newest sorts versions, the newest first: one that another follows comes after it. Of
// those that are left what leads on from head does, the version that the data here came
// from, then what head follows; nil where head is not known. Then times tell, then names,
// the later first.
func Newest(versions []*Version, head *Version) []int {
	left := make([]int, len(versions))
	for i := range left {
		left[i] = i
	}
	slices.SortStableFunc(left, func(i, j int) int {
		a, b := versions[i], versions[j]
		if is, other := a.farFrom(head), b.farFrom(head); is != other {
			return is - other
		}
		if a.Time != b.Time {
			if a.Time > b.Time {
				return -1
			}
			return 1
		}
		return strings.Compare(b.Node.Name, a.Node.Name)
	})
	sorted := make([]int, 0, len(left))
	for len(left) > 0 {
		at := slices.IndexFunc(left, func(i int) bool {
			return !slices.ContainsFunc(left, func(j int) bool { return j != i && later(versions[j], versions[i]) })
		})
		at = max(at, 0) // each follows another: no history is like that
		sorted = append(sorted, left[at])
		left = slices.Delete(left, at, at+1)
	}
	return sorted
}

// farFrom tells how far a version is from head: 0 for head and what is newer, 1 for what
// head follows, which leads where head itself is gone or never came to be, and 2 for what is
// of another line.
func (v *Version) farFrom(head *Version) int {
	if head == nil {
		return 0
	}
	switch Compare(v, head) {
	case Apart:
		return 2
	case Older:
		if byLineage(v, head) == Older {
			return 1
		}
		return 2
	}
	return 0
}

// later reports whether a follows b, as far as that is known without reading them.
func later(a, b *Version) bool {
	order := byLineage(a, b)
	return order == Newer || order == Unknown && a.mayFollow(b) && !b.mayFollow(a)
}

const (
	briefContent   = 12
	briefAncestors = 16
)

// Brief returns a version with less of what it remembers, for messages that are sent
// often. Only brief ones are compared with brief ones.
func (v *Version) Brief() Version {
	short := func(n Node) Node {
		n.Content = n.Content[:min(len(n.Content), briefContent)]
		return n
	}
	b := Version{Node: short(v.Node), Made: v.Made, Time: v.Time}
	for i, n := range v.Ancestors {
		// The last one may be kept because the other side has it.
		if i < briefAncestors-1 || i == len(v.Ancestors)-1 {
			b.Ancestors = append(b.Ancestors, short(n))
		}
	}
	return b
}
