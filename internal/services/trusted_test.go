package services

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// A program that others may change is never run, whatever for; that it cannot be asked
// does not say that what it started has failed.
func TestProgramThatOthersMayChange(t *testing.T) {
	s, dir := newScript(t, within(time.Minute), map[string]string{"status": "exit 0"})
	program := filepath.Join(dir, "service")
	must(t, os.Chmod(program, 0o757))
	for verb, err := range map[string]error{
		"start": s.Start(t.Context(), env), "stop": s.Stop(t.Context(), env), "reload": s.Reload(t.Context(), env),
		"able": Set{s}.Able(t.Context(), env),
	} {
		if fault.CodeOf(err) != fault.NotPermitted || err == nil ||
			!strings.Contains(err.Error(), program+" may be written by every user (mode 0757)") || !strings.Contains(fault.HintOf(err), "--force") {
			t.Errorf("%s: %v (hint %q)", verb, err, fault.HintOf(err))
		}
	}
	if state, err := s.Check(t.Context(), env); state != Unknown || err == nil {
		t.Errorf("check: %s, %v", state, err)
	}
	if got := calls(t, dir); got != "" {
		t.Fatalf("it was called: %s", got)
	}
	opt := within(time.Minute)
	opt.Untrusted = true
	forced, err := Parse("exec:"+program, opt)
	must(t, err)
	if state, err := forced.Check(t.Context(), env); state != Running || err != nil {
		t.Errorf("with force: %s, %v", state, err)
	}
	must(t, os.Chmod(program, 0o755))
	if state, err := s.Check(t.Context(), env); state != Running || err != nil {
		t.Errorf("closed again: %s, %v", state, err)
	}
}

// A parameter file:/PATH is read at each call, and nothing runs without it.
func TestParametersFromFiles(t *testing.T) {
	root, dir := agent(t, map[string]string{"start": "echo \"$OCF_RESKEY_password $OCF_RESKEY_url\" >got", "monitor": "exit 7"})
	opt := within(time.Minute)
	opt.OCFRoot = root
	secret := filepath.Join(t.TempDir(), "lim3")
	s, err := Parse("ocf:test:Agent,password=file:"+filepath.Dir(secret)+"/lim{lim},url=file:///x", opt)
	must(t, err)
	if err := s.Start(t.Context(), env); fault.CodeOf(err) != fault.Invalid || !neverRan(err) || !strings.Contains(err.Error(), "parameter password") {
		t.Errorf("without the file: %v", err)
	}
	if state, _ := s.Check(t.Context(), env); state != Unknown {
		t.Errorf("without the file it is %s", state)
	}
	for _, value := range []string{"one", "two"} {
		must(t, os.WriteFile(secret, []byte(value+"\n"), 0o600))
		must(t, s.Start(t.Context(), env))
		got, err := os.ReadFile(filepath.Join(dir, "got"))
		must(t, err)
		if string(got) != value+" file:///x\n" {
			t.Errorf("the agent got %q", got)
		}
	}
	must(t, os.Chmod(secret, 0o644))
	if err := (Set{s}).Able(t.Context(), env); fault.CodeOf(err) != fault.NotPermitted || !strings.Contains(err.Error(), "others may read it") {
		t.Errorf("readable by others: %v", err)
	}
}
