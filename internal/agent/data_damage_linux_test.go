package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/badfs"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/services/servicestest"
	"mxcluster/internal/status"
	"mxcluster/xdata"
)

// damageKind is a way in which a data version on the standby is spoilt.
type damageKind struct {
	name   string
	damage func(dir string) error
	bad    map[string]badfs.Bad // what the disk does not give back, by path in the version
	verify bool                 // only reading tells
	unread bool                 // nobody has read it yet, so nobody knows
}

func damageKinds() []damageKind {
	rot := func(dir string) error {
		info, err := os.Stat(dir + "/lim.db")
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/lim.db", []byte("DATA of the LIM"), 0o600); err != nil {
			return err
		}
		return os.Chtimes(dir+"/lim.db", info.ModTime(), info.ModTime())
	}
	instead := func(dir string, make func() error) error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return make()
	}
	return []damageKind{
		{name: "a bad inode", bad: map[string]badfs.Bad{"lim.db": {Look: unix.EBADMSG}}},
		{name: "its own inode is bad", bad: map[string]badfs.Bad{"": {Look: unix.EIO, Folder: true}}},
		{name: "a folder that cannot be listed", bad: map[string]badfs.Bad{"inner": {Read: unix.EIO, Folder: true}}},
		{name: "a stale file server", bad: map[string]badfs.Bad{"inner": {Look: unix.ESTALE, Folder: true}}},
		{name: "an unreadable file, verified", bad: map[string]badfs.Bad{"lim.db": {Read: unix.EIO, Size: 15, Mtime: epoch}}, verify: true},
		{name: "rot, verified", damage: rot, verify: true},
		{name: "a file gone", damage: func(dir string) error { return os.Remove(dir + "/lim.db") }},
		{name: "a file cut off", damage: func(dir string) error { return os.Truncate(dir+"/lim.db", 3) }},
		{name: "a file more", damage: func(dir string) error { return os.WriteFile(dir+"/more", nil, 0o600) }},
		{name: "a link for a file", damage: func(dir string) error {
			return instead(dir+"/lim.db", func() error { return os.Symlink("nowhere", dir+"/lim.db") })
		}},
		{name: "a file for the version", damage: func(dir string) error {
			return instead(dir, func() error { return os.WriteFile(dir, nil, 0o600) })
		}},
		{name: "a link for the version", damage: func(dir string) error {
			return instead(dir, func() error { return os.Symlink("/nonexistent", dir) })
		}},
		{name: "rot that nobody read", damage: rot, unread: true},
	}
}

// spoil makes a version of that kind of a good one.
func (k *damageKind) spoil(t *testing.T, s *xdata.Store, v xdata.Version) {
	t.Helper()
	if k.damage != nil {
		if err := k.damage(v.Path); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range k.bad {
		remove, err := b.Mount(filepath.Join(v.Path, name))
		if os.Geteuid() != 0 {
			t.Skipf("it mounts file systems: run as root: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := remove(); err != nil {
				t.Error(err)
			}
		})
	}
	if k.verify {
		if f, err := s.Verify(t.Context(), v, nil); err != nil || f.Result != xdata.Damaged {
			t.Fatalf("%+v, %v", f, err)
		}
	}
}

// A takeover starts software on the newest data that can be read, as far as is known, never
// on none because of an older version; and what it comes to is told before and after. With
// -v it prints what was got and said.
func TestTakeoverWithDamagedData(t *testing.T) {
	for i, k := range damageKinds() {
		which := []string{"newest", "older", "both"}
		if !allDamages {
			which = which[i%3 : i%3+1]
		}
		for _, which := range which {
			t.Run(k.name+", "+which, func(t *testing.T) { takeoverWith(t, &k, which) })
		}
	}
}

func takeoverWith(t *testing.T, k *damageKind, which string) {
	store := &xdata.Store{Dir: filepath.Join(t.TempDir(), "xdata")}
	var made []xdata.Version // older, newest
	for _, text := range []string{"older", "newer"} {
		from := t.TempDir()
		for name, content := range map[string]string{"lim.db": "data of the LIM", "serial": text, "inner/file": text} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(from, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		v, err := store.Backup(t.Context(), 1, from)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, v)
	}
	now := time.Now()
	store.Now = func() time.Time { return now } // not the bubble's, where all that was made is to come yet
	bad := map[string][]xdata.Version{"newest": made[1:], "older": made[:1], "both": made}[which]
	for _, v := range bad {
		k.spoil(t, store, v)
	}
	known := !k.unread
	want := made[1].Path
	if known && which != "older" {
		want = map[string]string{"newest": made[0].Path, "both": ""}[which]
	}
	inWorld(t, manual, func(w *world) {
		w.wrap = func(m *machine, d Deps) Deps {
			if m.name == "sb1" {
				d.Data = (&dataFinder{versions: store}).newest
			}
			return d
		}
		w.settled()
		pass(2 * rescan)
		before := w.dataAlarm("sb1")
		damaged := w.dataOf("sb1").Damaged
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(time.Second)
		got := startedOn(w.servers["sb1"])
		after := w.status("sb1").LIM(1).Reason
		told := w.toldOf("sb1")
		t.Logf("| got %-7s | before: %s | after: %s |", nameOf(got, made), orNone(before), after)

		if got != want {
			t.Errorf("started on %q, want %q", got, want)
		}
		var names []string
		for _, v := range bad {
			names = append(names, v.Name)
		}
		if !known {
			names = []string{}
		}
		if !slices.Equal(damaged, names) {
			t.Errorf("status named %q as damaged, want %q", damaged, names)
		}
		if (before != "") != known || known && !strings.Contains(before, bad[len(bad)-1].Name) {
			t.Errorf("the alarm before: %q; made %s, %s", before, made[0].Name, made[1].Name)
		}
		if severe := strings.HasPrefix(before, "critical"); severe != (known && which == "both") {
			t.Errorf("the alarm before: %q", before)
		}
		passed := ""
		switch {
		case known && which == "newest":
			passed = fmt.Sprintf("on the data version %s: the newer %s is damaged: ", made[0].Name, made[1].Name)
		case known && which == "both":
			passed = fmt.Sprintf("without any data: the newer %s is damaged: ", made[1].Name)
		}
		if passed == "" && (strings.Contains(after, "; started") || told != "") || !strings.Contains(after, passed) || !strings.Contains(told, passed) {
			t.Errorf("after it the reason is %q, and the event %q", after, told)
		}
	})
}

// dataAlarm is the alarm of damaged data on a server, as its status shows it; "": there is none.
func (w *world) dataAlarm(server string) string {
	for _, a := range w.alarmsSeen(server) {
		if a.Name == "data-damaged" && a.Server == server {
			return a.Severity + ": " + a.Text
		}
	}
	return ""
}

// dataOf is what a server's status says of the data of LIM 1.
func (w *world) dataOf(server string) status.StatusData {
	if d := w.status(server).LIM(1).Data; d != nil {
		return *d
	}
	return status.StatusData{Damaged: []string{}}
}

// toldOf is the event of a start on other data than the newest.
func (w *world) toldOf(server string) string {
	for _, e := range w.eventsFrom(server, events.Query{LIM: 1}).Events {
		if e.Kind == events.Software {
			return e.Text
		}
	}
	return ""
}

// startedOn is the folder of the data that a server's software was last started on.
func startedOn(m *machine) (path string) {
	for _, c := range m.soft.Calls() {
		if c.Verb == servicestest.VerbStart && c.Env.LIM == 1 {
			path = c.Env.XData
		}
	}
	return path
}

func nameOf(path string, made []xdata.Version) string {
	switch path {
	case made[0].Path:
		return "older"
	case made[1].Path:
		return "newest"
	}
	return "nothing"
}

func orNone(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// A folder of versions that cannot be looked at any more is no reason to start on nothing what
// was seen before.
func TestStoreThatGoesAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "xdata")
	store := &xdata.Store{Dir: dir}
	find := &dataFinder{versions: store}
	from := t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "f"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := store.Backup(t.Context(), 1, from)
	if err != nil {
		t.Fatal(err)
	}
	seen := find.newest(1)
	if seen.Newest == nil || seen.Path != v.Path || seen.starts() != "" {
		t.Fatalf("%+v", seen)
	}
	is := seen.unseen(os.ErrPermission)
	if is.Path != v.Path || !strings.Contains(is.starts(), "on the data version "+v.Name+": permission denied") {
		t.Errorf("%+v: %s", is, is.starts())
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	is = find.newest(1)
	if is.Newest != nil || is.Path != "" || !strings.Contains(is.starts(), "without any data: list data versions") {
		t.Errorf("%+v: %s", is, is.starts())
	}
	a := &Agent{core: &core{cfg: Config{Server: "sb1"}}, peers: &peers{}, data: &data{here: map[int]DataHere{1: is, 2: {Newest: &failover.Data{}}}}}
	if c := (&conditions{a}).damaged(); len(c) != 1 || c[0].LIM != 1 || !strings.Contains(c[0].Text, "cannot be looked at") {
		t.Errorf("%+v", c)
	}
}
