package commands

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
)

// fakeHalf is this server's half of the pair, as far as a set-up meets it.
type fakeHalf struct {
	manager.Prepared
	kept  *manager.Half
	steps []manager.StepID
	fails manager.StepID // ends with an error
}

func (f *fakeHalf) Read() (*manager.Half, error) { return f.kept, nil }

func (f *fakeHalf) Look(context.Context, manager.Setup) (manager.Prepared, error) {
	return f.Prepared, nil
}

func (f *fakeHalf) Do(_ context.Context, s manager.Setup, step manager.StepID) error {
	if step == f.fails {
		return errors.New("broken on purpose")
	}
	f.steps, f.kept = append(f.steps, step), &s.Half
	p := &f.Prepared
	switch step {
	case manager.StepSecret:
		p.Secret = true
	case manager.StepSettings:
		p.Settings = true
	case manager.StepRestart:
		p.InForce = true
	case manager.StepRole:
		p.Role = true
	case manager.StepAccess:
		p.Access = true
	case manager.StepSlot:
		p.Slot = true
	case manager.StepSignal:
		p.Signal = true
	}
	return nil
}

func (f *fakeHalf) Remove(context.Context) error                      { f.kept = nil; return nil }
func (f *fakeHalf) Follow(context.Context) (manager.Followed, error)  { return manager.Followed{}, nil }
func (f *fakeHalf) Settle(context.Context, bool) error                { return nil }
func (f *fakeHalf) Release(context.Context) (manager.Position, error) { return manager.Position{}, nil }

// The set-up of the master takes each step once, goes on where it ended, puts the address into
// the document before PostgreSQL is left to the agent, and is taken down again.
func TestManagerSetupOfTheMaster(t *testing.T) {
	w := managerWorld(t, followerAnswer)
	half := &fakeHalf{fails: manager.StepSlot}
	w.half = half
	w.write(t, "password", "geheim\n", 0o600)
	args := []string{"manager", "setup", "--role", "master", "--vip", "10.0.0.18", "--replication-user", "replica", "--password-file", w.path("password")}
	if a := w.must(t, append(args, "--dry-run")...); !strings.Contains(a.out, "the replication role is made") || len(half.steps) > 0 {
		t.Errorf("%s", a.out)
	}
	if a := w.run(t.Context(), args...); a.code != fault.Failed || !strings.Contains(a.err, "the log is kept for the other server: broken on purpose") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	half.fails = ""
	a := w.must(t, args...)
	if !strings.Contains(a.err, "mxcluster manager setup --role standby on sb1") || strings.Contains(a.out+a.err, "geheim") {
		t.Errorf("%s%s", a.out, a.err)
	}
	if got := half.steps[len(half.steps)-2:]; got[0] != manager.StepSlot || got[1] != manager.StepSignal {
		t.Errorf("%v", half.steps)
	}
	if half.kept.Port != 5432 || half.kept.Host != "10.0.0.13" || strings.Join(half.kept.From, " ") != "10.0.0.13 10.0.0.11" {
		t.Errorf("%+v", half.kept)
	}
	text, err := os.ReadFile(w.path("etc/cluster.yaml"))
	if err != nil || !strings.Contains(string(text), "address: 10.0.0.18/24") || strings.Contains(string(text), "geheim") {
		t.Errorf("%v\n%s", err, text)
	}
	if a := w.must(t, append(args, "-o", "json")...); !strings.Contains(a.out, `"changed": false`) {
		t.Errorf("%s", a.out)
	}
	for _, change := range [][]string{{"10.0.0.17"}, {"10.0.0.18", "--synchronous", "on"}} {
		other := slices.Concat(args[:5], change, args[6:])
		if a := w.run(t.Context(), other...); a.code != fault.Refused || !strings.Contains(a.err, "manager reconfigure") {
			t.Errorf("%v: code %d: %s", change, a.code, a.err)
		}
	}
	if a := w.must(t, "manager", "status"); !strings.Contains(a.out, "reached at 10.0.0.18 on no server; fallback manual") {
		t.Errorf("%s", a.out)
	}
	w.must(t, "manager", "remove")
	if text, _ := os.ReadFile(w.path("etc/cluster.yaml")); strings.Contains(string(text), "management") || half.kept != nil {
		t.Errorf("%s", text)
	}
}

// The password of mxone_manager comes from a file of root's alone, is told by a dry run, and is set each
// time, since it cannot be seen what it is. Without the account nothing is done.
func TestManagerSetupSetsTheAccountsPassword(t *testing.T) {
	w := managerWorld(t, followerAnswer)
	half := &fakeHalf{}
	w.half = half
	w.write(t, "password", "geheim\n", 0o600)
	w.write(t, "account", "verborgen\n", 0o600)
	w.write(t, "open", "verborgen\n", 0o640)
	args := []string{"manager", "setup", "--role", "master", "--vip", "10.0.0.18", "--replication-user", "replica", "--password-file", w.path("password"), "--manager-password-file"}
	if a := w.run(t.Context(), append(args, w.path("account"))...); a.code != fault.Refused || !strings.Contains(a.err, "srv1 has no account mxone_manager") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	w.accounts = map[string]string{"mxone_manager": ""}
	if a := w.run(t.Context(), append(args, w.path("open"))...); a.code != fault.Refused || !strings.Contains(a.err, "chmod 600") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	if a := w.must(t, append(args, w.path("account"), "--dry-run")...); !strings.Contains(a.out, "the password of mxone_manager is set") || len(half.steps) > 0 || w.accounts["mxone_manager"] != "" {
		t.Errorf("%s", a.out)
	}
	for range 2 {
		w.accounts["mxone_manager"] = ""
		a := w.must(t, append(args, w.path("account"), "-o", "json")...)
		if w.accounts["mxone_manager"] != "verborgen" || !strings.Contains(a.out, `"changed": true`) || strings.Contains(a.out+a.err, "verborgen") {
			t.Errorf("%v: %s%s", w.accounts, a.out, a.err)
		}
	}
	w.accounts["mxone_manager"] = ""
	if a := w.must(t, append(args[:len(args)-1:len(args)-1], "-o", "json")...); w.accounts["mxone_manager"] != "" || !strings.Contains(a.out, `"changed": false`) {
		t.Errorf("%v: %s", w.accounts, a.out)
	}
}

// What stands in the way is refused with the remedy, and nothing is done.
func TestManagerSetupRefuses(t *testing.T) {
	w := managerWorld(t, followerAnswer)
	half := &fakeHalf{}
	w.half = half
	w.write(t, "password", "geheim\n", 0o600)
	w.write(t, "open", "geheim\n", 0o644)
	w.write(t, "empty", "\n", 0o600)
	good := map[string]string{"--role": "master", "--vip": "10.0.0.18", "--replication-user": "replica", "--password-file": w.path("password")}
	for flag, wrong := range map[string]map[string]struct {
		code fault.Code
		text string
	}{
		"--role":             {"": {fault.Usage, "--role is missing"}, "both": {fault.Usage, "is no role"}, "standby": {fault.Refused, "the standby is sb1, this is srv1"}},
		"--vip":              {"10.0.0.11": {fault.Refused, "10.0.0.11 is the alias of LIM 1"}, "10.0.9.1": {fault.Refused, "not in the subnet"}},
		"--replication-user": {"postgres": {fault.Refused, "cannot be the name of the replication role"}},
		"--password-file":    {w.path("open"): {fault.Refused, "others may read"}, w.path("empty"): {fault.Refused, "holds no password"}, w.path("none"): {fault.Refused, "no such file"}},
	} {
		for value, want := range wrong {
			args := []string{"manager", "setup"}
			for f, v := range good {
				if f == flag {
					v = value
				}
				args = append(args, f, v)
			}
			if a := w.run(t.Context(), args...); a.code != want.code || !strings.Contains(a.err, want.text) {
				t.Errorf("%s %q: code %d: %s", flag, value, a.code, a.err)
			}
		}
	}
	text, err := os.ReadFile(w.path("etc/cluster.yaml"))
	if err != nil || strings.Contains(string(text), "management") {
		t.Errorf("%v\n%s", err, text)
	}
	for verb, want := range map[string]string{"reconfigure-fallback": "not set up", "remove": "nothing is set up"} {
		if a := w.run(t.Context(), "manager", verb); !strings.Contains(a.err, want) {
			t.Errorf("%s: code %d: %s", verb, a.code, a.err)
		}
	}
}

// write writes a file.
func (w *world) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
