package lineage

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func node(name, content string) Node { return Node{Name: name, Content: content} }

// child returns a version that follows others.
func child(name, content string, at int64, parents ...*Version) *Version {
	v := Child(node(name, content), at, Node{}, parents...)
	return &v
}

// other returns a version of another program.
func other(name, content string, at int64) *Version {
	return &Version{Node: node(name, content), Time: at}
}

func TestCompare(t *testing.T) {
	const second = int64(time.Second)
	a := child("1", "a", 100)
	b := child("2", "b", 50, a)   // the clock was set back
	back := child("3", "a", 1, b) // data that were put back
	fork := child("4", "c", 1000, a)
	ends := Resolve(node("5", "b"), 0, b, fork)
	twin, apart := child("t", "b", 5), child("u", "u", 5)
	joined := Join(b, twin)
	native := other("6", "n", 10*second)
	started := child("7", "s", 0, native)
	for _, tc := range []struct {
		name string
		a, b *Version
		want Order
	}{
		{"itself", a, a, Same},
		{"a child, whatever the times say", b, a, Newer},
		{"a grandchild with the content of the first", back, a, Newer},
		{"its parent, whose parent has its content", back, b, Newer},
		{"two children of one", b, fork, Apart},
		{"what ends that", &ends, fork, Newer},
		{"and the other side of it", &ends, b, Newer},
		{"roots", a, child("9", "z", 5), Apart},
		{"roots of one content", a, child("9", "a", 5), Same},
		{"a child of a root with the content of another", b, child("9", "a", 500), Newer},
		{"one that was changed and put back, and another one's child", child("9", "a", 0, b), fork, Apart},
		{"what follows two of one content", child("9", "z", 0, &joined), twin, Newer},
		{"and the other one", child("9", "z", 0, &joined), b, Newer},
		{"what follows one of them, and nothing else", child("9", "z", 0, &joined), apart, Apart},
		{"another program's, older", other("6", "n", 7), a, Older},
		{"another program's, newer", other("6", "n", 700), a, Newer},
		{"another program's, of one time", other("6", "n", 100), a, Apart},
		{"another program's, of one content", other("6", "a", 7000), a, Same},
		{"one that the LIM was started on", started, native, Newer},
		{"that, after it grew", started, other("6", "N", 11*second), Older},
		{"that, its content not known", started, other("6", "", 10*second), Unknown},
		{"coarse times", other("6", "", 100), other("7", "", 100+2*second), Unknown},
		{"times that are not", other("6", "", 100), other("7", "", 101+2*second), Older},
		{"times at both ends", other("6", "", -1<<63), other("7", "", 1<<63-1), Older},
	} {
		if got := Compare(tc.a, tc.b); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if got := Compare(tc.b, tc.a); got != tc.want.Reverse() {
			t.Errorf("%s: %s the other way round, want %s", tc.name, got, tc.want.Reverse())
		}
	}
}

// However long one side was away: what it is known to have is not forgotten, nor is what
// was rejected; the rest is bounded.
func TestLongHistory(t *testing.T) {
	shared := child("0", "0", 0)
	lost := child("x", "x", 0)
	resolved := Resolve(node("1", "1"), 1, shared, lost)
	v := &resolved
	for i := range 1000 {
		next := Child(node(fmt.Sprint(i+2), fmt.Sprint(i+2)), 0, shared.Node, v)
		if Compare(&next, v) != Newer || Compare(&next, shared) != Newer || next.Time <= v.Time {
			t.Fatalf("after %d: %+v", i, next)
		}
		v = &next
	}
	if err := v.Valid(); err != nil || len(v.Ancestors) != MaxAncestors || !v.Rejects(lost.Node) {
		t.Errorf("%v, %d ancestors, rejected %v", err, len(v.Ancestors), v.Rejected)
	}
	brief, older := v.Brief(), shared.Brief()
	if Compare(&brief, &older) != Newer || len(brief.Ancestors) != briefAncestors {
		t.Errorf("in brief: %+v", brief)
	}
}

// In any history that begins with one version, one that follows another is newer, and the
// order of all keeps to that, in whatever order they are given.
func TestNewestKeepsToLineage(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		all := []*Version{child("0", "0", 0)}
		for i := range 12 {
			parents := []*Version{all[rnd.IntN(len(all))]}
			if p := all[rnd.IntN(len(all))]; rnd.IntN(4) == 0 && p != parents[0] {
				parents = append(parents, p)
			}
			all = append(all, child(fmt.Sprint(i+1), fmt.Sprint(rnd.IntN(6)), rnd.Int64N(100), parents...))
		}
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		order := Newest(all, all[rnd.IntN(len(all))])
		for i, x := range order {
			for _, y := range order[i+1:] {
				if Compare(all[y], all[x]) == Newer && all[y].follows(all[x]) {
					t.Fatalf("seed %d: %v comes after %v", seed, all[y], all[x])
				}
			}
		}
		if slices.Sort(order); len(order) != len(all) || order[len(order)-1] != len(all)-1 {
			t.Fatalf("seed %d: %v", seed, order)
		}
	}
}

// Of two lines that one of head comes first whose last version is gone: head itself is no
// longer there, or never came to be.
func TestNewestWithoutHead(t *testing.T) {
	shared := child("0", "0", 0)
	mine, left := child("1", "1", 10, shared), child("2", "2", 1000, shared)
	native := other("3", "3", 5)
	head := child("4", "4", 20, mine)
	joined := Join(mine, child("7", "1", 30, left)) // of the same content, which follows the other line
	for name, tc := range map[string]struct {
		all  []*Version
		head *Version
		want []int
	}{
		"head is gone":                  {[]*Version{shared, left, mine}, head, []int{2, 1, 0}},
		"it is there":                   {[]*Version{head, left, mine}, head, []int{0, 2, 1}},
		"nothing else is of its line":   {[]*Version{native, left}, head, []int{1, 0}},
		"what ended both is newer":      {[]*Version{mine, child("5", "5", 0, mine, left), left}, head, []int{1, 0, 2}},
		"head follows both lines":       {[]*Version{shared, left, mine}, &joined, []int{2, 1, 0}},
		"no head, so times tell":        {[]*Version{mine, left}, nil, []int{1, 0}},
		"of the other line, times, too": {[]*Version{mine, left}, child("6", "6", 0), []int{1, 0}},
	} {
		if got := Newest(tc.all, tc.head); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestJSON(t *testing.T) {
	v := child("xdata_1_20260301020000", "00ff", 7, child("xdata_1_20260301010000", "", 3))
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"node":"xdata_1_20260301020000 00ff","made":true,"ancestors":["xdata_1_20260301010000 "],"time":7}`
	if string(data) != want {
		t.Errorf("%s, want %s", data, want)
	}
	var back Version
	if err := json.Unmarshal(data, &back); err != nil || Compare(&back, v) != Same || back.Ancestors[0] != v.Ancestors[0] {
		t.Errorf("%+v, %v", back, err)
	}
	for _, bad := range []string{`{"node":"x"}`, `{"node":"x y z"}`, `{"node":7}`} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
