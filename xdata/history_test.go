package xdata

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// life is a random history of the data of one LIM on its two sides, with real folders and
// the real Sync and Serve between them. After each step check holds it against what was
// reported.
type life struct {
	t      testing.TB
	rnd    *rand.Rand
	p      pair
	base   time.Time
	offset map[clusterconf.Side]time.Duration // of the clocks
	active clusterconf.Side                   // where the LIM runs
	data   fileTree                           // what it works on there
	backup fileTree                           // what it had at the last backup
	stale  map[clusterconf.Side]fileTree      // what the sides worked on when the LIM left them

	made     []report                   // what was reported as made
	last     int                        // the one of them that was made where the LIM runs last; -1: none
	whole    map[string]lineage.Version // by name: what was good on both sides at one time
	lost     map[string]bool            // contents that we ruined
	ruined   map[lineage.Node]bool      // versions that we ruined, wherever else their contents are
	stands   map[string]string          // what each name ever stood for
	conflict bool                       // the last sync told of one
	unseen   bool                       // something was ruined that nobody found: a sync may, in the middle
	crash    *crash
	story    []string
}

// report is a version that was reported as made.
type report struct {
	side    clusterconf.Side
	name    string
	content string
	line    lineage.Version
}

// crash is what happens to one side in the middle of something.
type crash struct {
	mu    sync.Mutex
	side  clusterconf.Side
	after int    // looks at the clock
	kept  string // the disk, as it was then; "": it did not come to that
	cut   func()
}

func newLife(t testing.TB, seed uint64) *life {
	dir, err := os.MkdirTemp(memory(), "mxlife.") // nobody waits for a disk
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := &life{t: t, rnd: rand.New(rand.NewPCG(seed, 20)), p: pair{}, base: time.Now().Add(300 * time.Hour), active: clusterconf.SideRegular, last: -1,
		offset: map[clusterconf.Side]time.Duration{}, stale: map[clusterconf.Side]fileTree{}, whole: map[string]lineage.Version{}, lost: map[string]bool{}, ruined: map[lineage.Node]bool{}, stands: map[string]string{},
		data: fileTree{"a": "0", "b": "0", "c": "0", "d/e": "0"}}
	for _, side := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		l.p[side] = &Store{Dir: filepath.Join(dir, string(side)), Still: AtOnce, Side: side, Now: func() time.Time { return l.now(side) },
			Paired: func(int) bool { return true }, Space: func(string) (int64, int64, error) { return 1 << 50, -1, nil }}
	}
	return l
}

func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// now is a side's clock. A crash comes about when it is looked at.
func (l *life) now(side clusterconf.Side) time.Time {
	if c := l.crash; c != nil && c.side == side {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.after--; c.after == 0 {
			c.kept = l.p[side].Dir + ".kept"
			copyAll(l.t, l.p[side].Dir, c.kept)
			c.cut()
		}
	}
	return l.base.Add(l.offset[side])
}

// copyAll copies a folder as it is; what goes meanwhile is gone.
func copyAll(t testing.TB, from, to string) {
	must(t, os.RemoveAll(to))
	if _, err := os.Stat(from); err != nil {
		must(t, os.MkdirAll(to, 0o755))
		return
	}
	_ = exec.Command("cp", "-a", from, to).Run() // of a file that is being replaced it complains
}

// crashing has one side crash while something is done, if luck has it so; its disk is as it
// was at that moment afterwards. It returns whether that came about.
func (l *life) crashing(side clusterconf.Side, do func(cut func(func()))) bool {
	if l.rnd.IntN(4) > 0 {
		do(func(func()) {})
		return false
	}
	c := &crash{side: side, after: 1 + l.rnd.IntN(12), cut: func() {}}
	l.crash = c
	do(func(cut func()) { c.cut = cut })
	l.crash = nil
	if c.kept == "" {
		return false
	}
	dir := l.p[side].Dir
	must(l.t, os.RemoveAll(dir))
	must(l.t, os.Rename(c.kept, dir))
	l.tell("crash of %s", side)
	return true
}

func (l *life) tell(format string, args ...any) {
	l.story = append(l.story, fmt.Sprintf(format, args...))
}

// step does one thing of those that happen.
func (l *life) step() error {
	l.base = l.base.Add(time.Duration(1+l.rnd.IntN(100)) * 17 * time.Second)
	side := []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby}[l.rnd.IntN(2)]
	switch n := l.rnd.IntN(100); {
	case n < 35:
		return l.backUp()
	case n < 65:
		return l.sync(side, "")
	case n < 70:
		l.stepClock(side)
	case n < 78:
		l.prune(side)
	case n < 83:
		l.ruin(side)
	case n < 87:
		return l.restore(side)
	case n < 91:
		l.sixActions()
	case n < 96:
		return l.move()
	case l.conflict:
		return l.sync(side, []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby}[l.rnd.IntN(2)])
	}
	return nil
}

// backUp changes the data and makes a version of them, as a nightly backup would; now and
// then the side where the LIM does not run does so too, of what it last had.
func (l *life) backUp() error {
	side, data := l.active, l.data
	if stale := l.stale[side.Other()]; stale != nil && l.rnd.IntN(8) == 0 {
		side, data = side.Other(), stale
	}
	switch l.rnd.IntN(8) {
	case 0: // nothing changed
	case 1: // something was deleted
		if names := slices.Sorted(maps.Keys(data)); len(names) > 1 {
			delete(data, names[l.rnd.IntN(len(names))])
		}
	case 2: // put back to an older state
		if l.backup != nil {
			maps.Copy(data, l.backup)
		}
	default:
		data[[]string{"a", "b", "c", "d/e"}[l.rnd.IntN(4)]] = strconv.Itoa(l.rnd.IntN(1000))
	}
	if l.rnd.IntN(3) == 0 {
		l.backup = maps.Clone(data)
	}
	mtime := l.base.Add(l.offset[side])
	switch l.rnd.IntN(6) {
	case 0:
		mtime = mtime.AddDate(0, 0, -l.rnd.IntN(400))
	case 1:
		mtime = mtime.Truncate(2 * time.Second)
	case 2:
		mtime = baseTime
	case 3:
		if l.rnd.IntN(3) == 0 {
			mtime = mtime.AddDate(12, 0, 0)
		}
	}
	from, err := os.MkdirTemp(memory(), "mxlife.")
	must(l.t, err)
	defer os.RemoveAll(from)
	data.write(l.t, from, mtime)
	var v Version
	crashed := l.crashing(side, func(func(func())) { v, err = l.p[side].Backup(l.t.Context(), 1, from) })
	l.tell("backup on %s of %v at %s: %s %v", side, data, mtime.Format(time.RFC3339), v.Name, err)
	if err != nil && !crashed {
		return err
	}
	if err == nil && !crashed {
		l.made = append(l.made, report{side, v.Name, contentPrint(v.Path), v.line})
		if side == l.active {
			l.last = len(l.made) - 1
		}
	}
	return nil
}

// sync has one side synchronise, or end a conflict. Either side may crash, or the line be cut.
func (l *life) sync(asks, keep clusterconf.Side) error {
	victim := []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby}[l.rnd.IntN(2)]
	runs := func(side clusterconf.Side) func() bool { return func() bool { return l.active == side } }
	var res Result
	var err error
	crashed := l.crashing(victim, func(cut func(func())) {
		conn := peer(l.t, l.p[asks.Other()], ServeOptions{Active: func(int) bool { return l.active == asks.Other() }})
		cut(func() { conn.Close() })
		res, err = Sync(l.t.Context(), l.p[asks], conn, Request{LIM: 1, Side: asks, Keep: keep, Active: runs(asks)})
		conn.end(l.t)
	})
	l.tell("sync from %s keep %q: %s %s %s: %v", asks, keep, res.Result, res.Direction, res.Version, err)
	if crashed {
		return nil
	}
	return l.checkSync(res, err, keep)
}

// checkSync holds the report of a sync that ran undisturbed against what is there.
func (l *life) checkSync(res Result, err error, keep clusterconf.Side) error {
	r, s := l.candidate(clusterconf.SideRegular), l.candidate(clusterconf.SideStandby)
	differ := r != nil && s != nil && unrelated(r.line, s.line)
	code := fault.CodeOf(err)
	told := code == fault.Conflict && errors.Is(err, errConflict)
	l.conflict = told
	switch {
	case told && keep != "":
		return fmt.Errorf("a conflict was not ended: %w", err)
	case told && !l.unseen && !differ:
		return fmt.Errorf("a conflict was told of versions of which one follows the other: %w", err)
	case !told && code == fault.OK && differ:
		return errors.New("a conflict was not told")
	case code != fault.OK:
		return nil // clocks, damage, the future: said
	case r == nil && s == nil:
		return nil
	case r == nil || s == nil || contentPrint(r.Path) != contentPrint(s.Path) && !l.lost[contentPrint(r.Path)] && !l.lost[contentPrint(s.Path)]:
		return errors.New("a sync that went well left other data on both sides")
	}
	if l.last >= 0 && keep == "" && !l.lost[l.made[l.last].content] && !l.ruined[l.made[l.last].line.Node] {
		v := &l.made[l.last]
		if !reached(v.line, r.line) && !reached(v.line, s.line) { // both hold the same here
			return fmt.Errorf("%s, made last where the LIM runs, was passed over for %s without a word", v.name, s.Name)
		}
	}
	return nil
}

// reached tells whether a version is another one, or comes before it, without asking what
// is tested. A backup whose end a crash cut off may have left a version that nobody reported,
// with content the other side has.
func reached(v, by lineage.Version) bool {
	if v.Node == by.Node || v.Node.Content == by.Node.Content || slices.Contains(by.Ancestors, v.Node) {
		return true
	}
	return includes(by, v) && !includes(v, by) // else both were put back to what was before
}

// includes tells whether a version was made of data that had another one's content, and
// follows all that this one follows.
func includes(by, v lineage.Version) bool {
	had := slices.ContainsFunc(by.Ancestors, func(n lineage.Node) bool { return n.Content == v.Node.Content })
	return had && !slices.ContainsFunc(v.Ancestors, func(n lineage.Node) bool { return !slices.Contains(by.Ancestors, n) })
}

// unrelated tells whether two versions are in conflict, in the same way.
func unrelated(a, b lineage.Version) bool {
	return a.Made && b.Made && !reached(a, b) && !reached(b, a)
}

// candidate is the newest version of a side that can be copied.
func (l *life) candidate(side clusterconf.Side) *Version {
	list, err := l.p[side].List(1)
	must(l.t, err)
	for i := range list {
		if list[i].Complete && !list[i].future(l.now(side)) {
			return &list[i]
		}
	}
	return nil
}

// stepClock sets a clock, or both, forth or back; mostly they agree afterwards.
func (l *life) stepClock(side clusterconf.Side) {
	by := time.Duration(l.rnd.IntN(200)-100) * time.Hour
	l.offset[side] = by
	if l.rnd.IntN(4) > 0 {
		l.offset[side.Other()] = by
	}
	if l.rnd.IntN(3) == 0 {
		l.offset = map[clusterconf.Side]time.Duration{}
	}
	l.tell("clocks are off by %v", l.offset)
}

func (l *life) prune(side clusterconf.Side) {
	var removed []Version
	var err error
	l.crashing(side, func(func(func())) { removed, err = l.p[side].Prune(1, 1+l.rnd.IntN(3)) })
	l.tell("prune on %s: %s, %v", side, namesOf(removed), err)
}

// sixActions leave the newest version on each side, as an edit of the cluster does.
func (l *life) sixActions() {
	for side, s := range l.p {
		var removed []Version
		var err error
		l.crashing(side, func(func(func())) { removed, err = s.KeepNewest(l.t.Context(), 1) })
		l.tell("one of the six actions on %s: %s, %v", side, namesOf(removed), err)
	}
}

func namesOf(versions []Version) (names []string) {
	for _, v := range versions {
		names = append(names, v.Name)
	}
	return names
}

// ruin damages a file of a version; mostly that is found.
func (l *life) ruin(side clusterconf.Side) {
	list, err := l.p[side].List(1)
	must(l.t, err)
	if len(list) == 0 || l.rnd.IntN(2) == 0 {
		return
	}
	v := list[l.rnd.IntN(len(list))]
	content := contentPrint(v.Path)
	if n := l.copies(content); n < 2 && !l.lost[content] {
		l.lost[content] = true
	}
	files, err := filepath.Glob(filepath.Join(v.Path, "[abc]"))
	must(l.t, err)
	if len(files) == 0 {
		return
	}
	was, err := os.Stat(files[0])
	must(l.t, err)
	must(l.t, os.WriteFile(files[0], bytes.Repeat([]byte{'x'}, int(was.Size())), 0o640))
	must(l.t, os.Chtimes(files[0], was.ModTime(), was.ModTime()))
	l.lost[contentPrint(v.Path)] = true // it is nobody's
	if says := recordOf(v.Path); says != nil && !l.holds(says.Node, content) {
		l.ruined[says.Node] = true
	}
	found := l.rnd.IntN(4) > 0
	if l.unseen = l.unseen || !found; found {
		_, err = l.p[side].Verify(l.t.Context(), v, nil)
	}
	l.tell("%s on %s was ruined, found: %v %v", v.Name, side, found, err)
}

// restore puts a version somewhere else, which changes nothing here.
func (l *life) restore(side clusterconf.Side) error {
	v := l.candidate(side)
	if v == nil {
		return nil
	}
	to, err := os.MkdirTemp(memory(), "mxlife.")
	must(l.t, err)
	defer os.RemoveAll(to)
	content := contentPrint(v.Path)
	if err := l.p[side].Restore(l.t.Context(), *v, filepath.Join(to, "data"), nil); err != nil {
		if l.lost[content] {
			return nil
		}
		return err
	}
	if got := contentPrint(filepath.Join(to, "data")); got != content {
		return fmt.Errorf("restored %q from %q", got, content)
	}
	return nil
}

// move has the LIM start on the other side, or on the same one again, on the newest data there.
func (l *life) move() error {
	to := l.active
	if l.rnd.IntN(3) > 0 {
		to = to.Other()
	}
	v, ok, err := l.p[to].Newest(1)
	if err != nil || !ok {
		return err
	}
	if err := l.p[to].Started(1, v.Name); err != nil {
		return err
	}
	l.stale[l.active] = maps.Clone(l.data)
	l.active, l.data, l.last = to, treeOf(v.Path), -1
	l.tell("the LIM starts on %s, on %s", to, v.Name)
	return nil
}

// treeOf reads a version.
func treeOf(dir string) fileTree {
	tr := fileTree{}
	_ = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != tree.LineageName && d.Name() != tree.CompleteMarker {
			data, _ := os.ReadFile(name)
			rel, _ := filepath.Rel(dir, name)
			tr[rel] = string(data)
		}
		return nil
	})
	return tr
}

// contentPrint hashes all that a version holds.
func contentPrint(dir string) string {
	tr, parts := treeOf(dir), []string{}
	for _, name := range slices.Sorted(maps.Keys(tr)) {
		parts = append(parts, name+"="+tr[name])
	}
	return strings.Join(parts, " ")
}

// held returns what lies on a side, set aside or not: the versions of each content.
func (l *life) held(side clusterconf.Side) map[string][]string {
	found := map[string][]string{}
	for _, pattern := range []string{"xdata_*", asideName + "/xdata_*"} {
		dirs, err := filepath.Glob(filepath.Join(l.p[side].Dir, pattern))
		must(l.t, err)
		for _, dir := range dirs {
			found[contentPrint(dir)] = append(found[contentPrint(dir)], dir)
		}
	}
	return found
}

// holds tells whether a version still lies somewhere as it was.
func (l *life) holds(n lineage.Node, content string) bool {
	for side := range l.p {
		for _, dir := range l.held(side)[content] {
			if says := recordOf(dir); says != nil && says.Node == n {
				return true
			}
		}
	}
	return false
}

func (l *life) copies(content string) (n int) {
	for side := range l.p {
		n += len(l.held(side)[content])
	}
	return n
}

// check holds what is there against what was reported.
func (l *life) check() error {
	r, s := l.held(clusterconf.SideRegular), l.held(clusterconf.SideStandby)
	for content, dirs := range r {
		if len(s[content]) == 0 {
			continue
		}
		for _, dir := range slices.Concat(dirs, s[content]) {
			if says := recordOf(dir); says != nil {
				l.whole[says.Node.Name] = says.Version
			}
		}
	}
	for i := range l.made {
		v := &l.made[i]
		if l.lost[v.content] || l.ruined[v.line.Node] || len(r[v.content])+len(s[v.content]) > 0 || l.followed(v) {
			continue
		}
		return fmt.Errorf("%s, made on %s, is gone, and nothing that follows it was on both sides: %s", v.name, v.side, v.content)
	}
	return l.checkNames(r, s)
}

func recordOf(dir string) *manifest.Record {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	return tree.ReadRecord(root)
}

// followed tells whether something newer than a version was whole on both sides.
func (l *life) followed(v *report) bool {
	for _, w := range l.whole {
		if reached(v.line, w) {
			return true
		}
	}
	return false
}

// checkNames makes sure that no name stands for two contents, or stood for another one.
func (l *life) checkNames(sides ...map[string][]string) error {
	for _, held := range sides {
		for content, dirs := range held {
			if l.lost[content] {
				continue
			}
			for _, dir := range dirs {
				name := filepath.Base(dir)
				if other, ok := l.stands[name]; ok && other != content && !l.lost[other] {
					return fmt.Errorf("%s stands for %q and %q", name, content, other)
				}
				l.stands[name] = content
			}
		}
	}
	return nil
}

// live plays a history.
func live(t testing.TB, seed uint64, steps int) error {
	l := newLife(t, seed)
	for i := range steps {
		err := l.step()
		if err == nil {
			err = l.check()
		}
		if err != nil {
			return fmt.Errorf("seed %d, step %d: %w\n\t%s", seed, i, err, strings.Join(l.story, "\n\t"))
		}
	}
	return nil
}

// lives returns how many histories to play, from which seed on, and for how long at most.
func lives(t *testing.T) (count int, seed uint64, until time.Time) {
	number := func(name string, or int) int {
		text := os.Getenv(name)
		if text == "" {
			return or
		}
		n, err := strconv.Atoi(text)
		must(t, err)
		return n
	}
	count, seed, until = number("MXCLUSTER_TEST_HISTORIES", 12), uint64(number("MXCLUSTER_TEST_SEED", 1)), time.Now().AddDate(1, 0, 0)
	if minutes := number("MXCLUSTER_TEST_MINUTES", 0); minutes > 0 {
		until = time.Now().Add(time.Duration(minutes) * time.Minute)
	}
	return count, seed, until
}

// Whatever happens to the two sides of a LIM: what was reported as made is found, or was
// followed by something newer that was whole on both; each conflict is told; no name stands
// for two contents.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	count, seed, until := lives(t)
	played := 0
	for i := range count {
		if time.Now().After(until) {
			break
		}
		if err := live(t, seed+uint64(i), 60); err != nil {
			t.Fatal(err)
		}
		played++
	}
	t.Logf("%d histories of 60 steps from seed %d", played, seed)
}

// What the histories are held against finds what it is there for.
func TestHistoriesFindFaults(t *testing.T) {
	for name, fault := range map[string]func(l *life, v *report){
		"is gone": func(l *life, v *report) { must(t, os.RemoveAll(filepath.Join(l.p[v.side].Dir, v.name))) },
		"stands for": func(l *life, v *report) {
			fileTree{"a": "other"}.write(t, filepath.Join(l.p[v.side.Other()].Dir, v.name), baseTime)
		},
	} {
		l := newLife(t, 1)
		for len(l.made) < 2 {
			must(t, l.backUp())
		}
		must(t, l.check())
		fault(l, &l.made[len(l.made)-1])
		if err := l.check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q was not found: %v", name, err)
		}
	}
}
