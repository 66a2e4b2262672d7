package clusterconf

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// change names the command that a test's edit stands for.
func change(command string) Change { return Change{By: "ann", On: "srv1", Command: command} }

// threeRevisions returns a store with revisions 1 and 2 in history and 3 stored.
func threeRevisions(t *testing.T) *Store {
	t.Helper()
	s := newStore(t)
	for _, edit := range []func(*Document) error{addSrv3, func(d *Document) error { return d.CreateCluster(both()) }} {
		if _, err := s.Edit(context.Background(), ordered, edit); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestHistory(t *testing.T) {
	s := threeRevisions(t)
	writeFile(t, filepath.Join(s.HistoryDir, "notes.txt"), "not ours")
	writeFile(t, filepath.Join(s.HistoryDir, "00000002.yaml.swp"), "not ours")
	got, err := s.History()
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		revision uint64
		file     string
		command  string
	}{{3, s.Path, ordered.Command}, {2, filepath.Join(s.HistoryDir, "00000002.yaml"), ordered.Command}, {1, filepath.Join(s.HistoryDir, "00000001.yaml"), ""}}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, w := range want {
		e := got[i]
		if e.Revision != w.revision || e.File != w.file || e.Changed.Command != w.command || e.Current != (i == 0) || e.Problem != nil {
			t.Errorf("entry %d: %+v, want %+v", i, e, w)
		}
		d, err := s.ReadRevision(w.revision)
		if err != nil || d.Revision != w.revision || Hash(d) != e.Hash {
			t.Errorf("revision %d: %v, %v", w.revision, d, err)
		}
	}
	for _, revision := range []uint64{0, 4} {
		_, err = s.ReadRevision(revision)
		wantFault(t, err, fault.NotFound, fmt.Sprintf("there is no document of revision %d in %s", revision, s.HistoryDir), "mxcluster config history")
	}
}

func TestHistoryOfNothing(t *testing.T) {
	s := storeIn(t.TempDir())
	if got, err := s.History(); err != nil || got != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err := s.ReadRevision(1)
	wantFault(t, err, fault.NotFound, "there is no document of revision 1", "")
}

// Of two documents of a revision the one that won the conflict is read.
func TestHistoryOfConflict(t *testing.T) {
	s := storeIn(t.TempDir())
	for _, d := range []*Document{
		version(5, testTime, "lost"), version(5, testTime.Add(time.Second), "won"),
		version(5, testTime.Add(-time.Second), "lost too"), version(6, testTime, "next"),
	} {
		if _, err := s.Adopt(context.Background(), Freeze(d)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.History()
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, e := range got {
		order = append(order, fmt.Sprint(e.Revision, " ", e.Changed.Reason))
	}
	if want := []string{"6 next", "5 won", "5 lost", "5 lost too"}; !reflect.DeepEqual(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
	if d, err := s.ReadRevision(5); err != nil || d.Changed.Reason != "won" {
		t.Errorf("got %+v, %v", d, err)
	}
}

// What is broken is listed, with what is wrong, and in no one's way.
func TestHistoryOfBrokenDocuments(t *testing.T) {
	s := threeRevisions(t)
	first := filepath.Join(s.HistoryDir, "00000001.yaml")
	writeFile(t, first, "broken: [\n")
	writeFile(t, filepath.Join(s.HistoryDir, "00000007.yaml"), readFile(t, s.Path))
	if err := os.Symlink(first, filepath.Join(s.HistoryDir, "00000000.yaml")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.Path, strings.Replace(readFile(t, s.Path), "fallback: manual", "fallback: manuel", 1))
	got, err := s.History()
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		revision uint64
		problem  string
	}{
		{3, s.Path + ":37:15: fallback must be"}, {7, "00000007.yaml has revision 3"}, {2, ""}, {1, first + ":1:9: not valid YAML"}, {0, "is a symbolic link"},
	}
	for i, w := range want {
		e := got[i]
		if e.Revision != w.revision || (e.Problem == nil) != (w.problem == "") || (e.Hash == "") != (w.problem != "") ||
			w.problem != "" && !strings.Contains(e.Problem.Error(), w.problem) {
			t.Errorf("entry %d: %+v, want %+v", i, e, w)
		}
	}
	_, err = s.ReadRevision(1)
	wantFault(t, err, fault.Invalid, first+":1:9: not valid YAML", "")
	if d, err := s.ReadRevision(2); err != nil || d.Revision != 2 {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestRollback(t *testing.T) {
	s := threeRevisions(t)
	second, err := s.ReadRevision(2)
	if err != nil {
		t.Fatal(err)
	}
	back := change("mxcluster config rollback 2")
	before := tree(t, filepath.Dir(filepath.Dir(s.Path)))
	previewed, err := s.PreviewRollback(2, back)
	if err != nil {
		t.Fatal(err)
	}
	if after := tree(t, filepath.Dir(filepath.Dir(s.Path))); !reflect.DeepEqual(after, before) {
		t.Error("the preview wrote something")
	}
	result, err := s.Rollback(context.Background(), 2, back)
	if err != nil || !reflect.DeepEqual(result, previewed) {
		t.Fatalf("got %+v, %v, previewed %+v", result, err, previewed)
	}
	d := mustRead(t, s)
	if !result.Changed || d.Revision != 4 || d.Changed.Command != back.Command || Diff(d, second) != nil || result.Before.Cluster("c1") == nil {
		t.Errorf("got %+v", d)
	}
	if got := Exchanges(result.Before.Document, result.After.Document); len(got) != 2 || got[0].Direction != DirectionLeave {
		t.Errorf("exchanges %+v", got)
	}
	if again, err := s.Rollback(context.Background(), 2, back); err != nil || again.Changed {
		t.Errorf("again: %+v, %v", again, err)
	}
	_, err = s.Rollback(context.Background(), 9, back)
	wantFault(t, err, fault.NotFound, "there is no document of revision 9", "mxcluster config history")
	_, err = s.PreviewRollback(9, back)
	wantFault(t, err, fault.NotFound, "there is no document of revision 9", "")
	for revision := uint64(1); revision <= 4; revision++ {
		if _, err := s.ReadRevision(revision); err != nil {
			t.Error(err)
		}
	}
}

func TestRollbackToAnotherSystem(t *testing.T) {
	s := newStore(t)
	other := uncreated()
	other.System = "another"
	if _, err := s.keep(1, Encode(other)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Edit(context.Background(), ordered, addSrv3); err != nil {
		t.Fatal(err)
	}
	files := names(t, s.HistoryDir)
	if len(files) != 2 {
		t.Fatalf("history %v", files)
	}
	if err := os.Remove(filepath.Join(s.HistoryDir, files[0])); err != nil { // this system's own
		t.Fatal(err)
	}
	_, err := s.Rollback(context.Background(), 1, ordered)
	wantFault(t, err, fault.Refused, "the document is of system another, this server belongs to 5k2j9x", "mxcluster config history")
}

// A rollback is the way out of a document that was broken by hand.
func TestRollbackOfBrokenDocument(t *testing.T) {
	tests := []struct {
		name     string
		broken   func(text string) string
		revision uint64 // that the rollback makes
	}{
		{"syntax", func(text string) string { return strings.Replace(text, "servers:", "servers: [", 1) }, 4},
		{"rule", func(text string) string { return strings.Replace(text, "fallback: manual", "fallback: manuel", 1) }, 4},
		{"revision gone", func(text string) string { return strings.Replace(text, "revision: 3\n", "", 1) }, 4},
		{"revision set back", func(text string) string { return strings.Replace(text, "revision: 3\n", "revision: 1\nx: y\n", 1) }, 4},
		{"revision ahead", func(text string) string { return strings.Replace(text, "revision: 3\n", "revision: 8\nx: y\n", 1) }, 9},
		{"revision absurd", func(text string) string {
			return strings.Replace(text, "revision: 3\n", "revision: 9999999999999999\n", 1)
		}, 4},
		{"emptied", func(string) string { return "" }, 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := threeRevisions(t)
			want := mustParse(t, readFile(t, filepath.Join(s.HistoryDir, "00000002.yaml")))
			broken := test.broken(readFile(t, s.Path))
			writeFile(t, s.Path, broken)
			if _, err := s.Edit(context.Background(), ordered, addSrv3); fault.CodeOf(err) != fault.Invalid {
				t.Fatalf("the document is not broken: %v", err)
			}
			result, err := s.Rollback(context.Background(), 2, ordered)
			if err != nil {
				t.Fatal(err)
			}
			d := mustRead(t, s)
			if d.Revision != test.revision || Diff(d, want) != nil || !result.Changed || len(result.Before.Servers) != 0 {
				t.Errorf("got %+v, result %+v", d, result)
			}
			if kept := readFile(t, filepath.Join(s.HistoryDir, fmt.Sprintf("%08d.yaml", test.revision-1))); kept != broken {
				t.Errorf("the broken document is not in history, but\n%s", kept)
			}
		})
	}
}

func TestReplace(t *testing.T) {
	s := newStore(t)
	edited := strings.Replace(readFile(t, s.Path), "name: free1", "name: spare1", 1)
	edit := change("mxcluster config edit")
	previewed, err := s.PreviewReplace(edit, []byte(edited))
	if err != nil || mustRead(t, s).Revision != 1 {
		t.Fatal(err)
	}
	result, err := s.Replace(context.Background(), edit, []byte(edited))
	if err != nil || !reflect.DeepEqual(result, previewed) {
		t.Fatalf("got %+v, %v, previewed %+v", result, err, previewed)
	}
	if d := mustRead(t, s); d.Revision != 2 || d.Server("spare1") == nil || d.Changed.Command != edit.Command {
		t.Errorf("got %+v", d)
	}
	same, err := s.Replace(context.Background(), edit, []byte(readFile(t, s.Path)))
	if err != nil || same.Changed {
		t.Errorf("an untouched document: %+v, %v", same, err)
	}
}

func TestReplaceRefusals(t *testing.T) {
	tests := []struct {
		name      string
		meanwhile func(t *testing.T, s *Store)
		old, new  string
		code      fault.Code
		message   string
		hint      string
	}{
		{"invalid", nil, "kind: ", "knid: ", fault.Invalid, `the edited document:5:1: unknown key "knid"`, "did you mean kind?"},
		{"rule broken", nil, "lim: 2", "lim: 1", fault.Invalid, "LIM 1 is on srv1 and on srv2", "of its own"},
		{"changed meanwhile", func(t *testing.T, s *Store) {
			if _, err := s.Edit(context.Background(), ordered, addSrv3); err != nil {
				t.Fatal(err)
			}
		}, "name: free1", "name: spare1", fault.Busy, "the cluster document was changed meanwhile: it has revision 2, the edit began with 1", "mxcluster config edit"},
		{"another of the same revision", func(t *testing.T, s *Store) {
			if _, err := s.Adopt(context.Background(), Freeze(version(1, testTime.Add(time.Second), "won"))); err != nil {
				t.Fatal(err)
			}
		}, "name: free1", "name: spare1", fault.Busy, "the edit did not begin with the present document of revision 1", ""},
		{"revision", nil, "revision: 1", "revision: 2", fault.Refused, "the edited document has revision 2, the stored one 1", "leave the revision as it was"},
		{"system", nil, "system: 5k2j9x", "system: another", fault.Refused, "the document is of system another, this server belongs to 5k2j9x", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			edited := strings.Replace(readFile(t, s.Path), test.old, test.new, 1)
			if test.meanwhile != nil {
				test.meanwhile(t, s)
			}
			before := readFile(t, s.Path)
			_, err := s.PreviewReplace(ordered, []byte(edited))
			wantFault(t, err, test.code, test.message, test.hint)
			_, err = s.Replace(context.Background(), ordered, []byte(edited))
			wantFault(t, err, test.code, test.message, test.hint)
			if readFile(t, s.Path) != before {
				t.Error("the document was changed")
			}
		})
	}
}
