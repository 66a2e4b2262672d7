package services

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
)

// checksIn writes programs and returns them as the checks of a LIM.
func checksIn(t *testing.T, bodies ...string) (*clusterconf.LIM, []string) {
	t.Helper()
	dir, l := t.TempDir(), &clusterconf.LIM{Number: 7}
	var paths []string
	for i, body := range bodies {
		path := filepath.Join(dir, "check"+strconv.Itoa(i))
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		l.Checks, paths = append(l.Checks, "exec:"+path), append(paths, path)
	}
	return l, paths
}

func TestAbility(t *testing.T) {
	t.Parallel()
	env := Env{LIM: 7, Server: "srv7", Role: "passive"}
	l, paths := checksIn(t,
		`[ "$#$MXCLUSTER_LIM$MXCLUSTER_SERVER$MXCLUSTER_ROLE" = 07srv7passive ] || exit 1`,
		`echo first; echo "trunk 3 is down" >&2; exit 2`,
		`exit 3`,
		`exit 0`)
	opt := Options{Untrusted: true, Systemd: Systemd{unused: true}}
	only := func(i ...int) *clusterconf.LIM {
		x := &clusterconf.LIM{Number: 7}
		for _, i := range i {
			x.Checks = append(x.Checks, l.Checks[i])
		}
		return x
	}
	missing := &clusterconf.LIM{Number: 7, Checks: []string{"exec:/no/such/check", l.Checks[3]}}
	for name, c := range map[string]struct {
		lim             *clusterconf.LIM
		failed, unknown string
	}{
		"none":             {&clusterconf.LIM{Number: 7}, "", ""},
		"all pass":         {only(0, 3), "", ""},
		"says why":         {only(0, 1, 2), "check " + paths[1] + ": trunk 3 is down", ""},
		"says nothing":     {only(2), "check " + paths[2] + ": exit status 3", ""},
		"is not there":     {missing, "", "check /no/such/check cannot be run: program /no/such/check does not exist"},
		"failure outranks": {&clusterconf.LIM{Number: 7, Checks: append(missing.Checks, l.Checks[2])}, "check " + paths[2] + ": exit status 3", ""},
	} {
		if failed, unknown := Ability(t.Context(), c.lim, env, opt); failed != c.failed || unknown != c.unknown {
			t.Errorf("%s: failed %q, unknown %q", name, failed, unknown)
		}
	}
}

// At its limit a check has failed, and nothing that it started is left, in whatever session.
func TestAbilityCheckEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pids")
	l, paths := checksIn(t, `(setsid sh -c 'echo $$ >>`+pids+`; exec sleep 1000') & echo $$ >>`+pids+`; echo waiting; exec sleep 1000`)
	failed, unknown := Ability(t.Context(), l, Env{LIM: 7}, Options{Untrusted: true, Systemd: Systemd{unused: true}, CheckTimeout: time.Second, Grace: 100 * time.Millisecond})
	if failed != "check "+paths[0]+": did not end within 1s and was ended: waiting" || unknown != "" {
		t.Errorf("failed %q, unknown %q", failed, unknown)
	}
	raw, err := os.ReadFile(pids)
	if err != nil || len(strings.Fields(string(raw))) != 2 {
		t.Fatalf("%q, %v", raw, err)
	}
	for _, text := range strings.Fields(string(raw)) {
		pid, _ := strconv.Atoi(text)
		if unix.Kill(pid, 0) == nil && !zombie(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

// zombie reports whether a process waits for its parent to note its end.
func zombie(pid int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(raw), ") Z ")
}

// A check that others may change is not run, and one that its caller gives up says nothing.
func TestAbilityCheckThatIsNotRun(t *testing.T) {
	t.Parallel()
	l, paths := checksIn(t, "exit 1")
	if err := os.Chmod(paths[0], 0o777); err != nil {
		t.Fatal(err)
	}
	if failed, unknown := Ability(t.Context(), l, Env{LIM: 7}, Options{Systemd: Systemd{unused: true}}); failed != "" || !strings.Contains(unknown, "may") {
		t.Errorf("others may change it: failed %q, unknown %q", failed, unknown)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if failed, unknown := Ability(ctx, l, Env{LIM: 7}, Options{Untrusted: true, Systemd: Systemd{unused: true}}); failed != "" || unknown == "" {
		t.Errorf("given up: failed %q, unknown %q", failed, unknown)
	}
}
