//go:build linux

// Package netnstest gives tests network namespaces of the real kernel.
package netnstest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/internal/netns"
)

// New returns a fresh namespace that is closed at the end of the test. Where
// the rights are missing, the test fails if the environment has CI=true, since
// a test that did not run proves nothing there; else it is skipped.
func New(t testing.TB) *netns.NS {
	t.Helper()
	n, err := netns.New()
	if fault.CodeOf(err) == fault.NotPermitted && os.Getenv("CI") != "true" {
		t.Skipf("needs a network namespace: %v; %s", err, fault.HintOf(err))
	}
	if err != nil {
		t.Fatalf("needs a network namespace: %v; %s", err, fault.HintOf(err))
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close the namespace: %v", err)
		}
	})
	return n
}

// Do runs fn inside n and fails the test on an error.
func Do(t testing.TB, n *netns.NS, fn func() error) {
	t.Helper()
	if err := n.Do(fn); err != nil {
		t.Fatal(err)
	}
}

// InUserNamespace runs the calling test again, in a process that is root in a
// user namespace of its own and has no right outside it, and returns true
// there. Here it returns false once the test has passed there, or failed it.
func InUserNamespace(t *testing.T) bool {
	t.Helper()
	return again(t, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
}

// AsNobody is InUserNamespace for a process of a user without any right.
func AsNobody(t *testing.T) bool {
	t.Helper()
	const nobody = 65534
	return again(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}})
}

// again runs the calling test in a process with the given attributes.
func again(t *testing.T, attr *syscall.SysProcAttr) (there bool) {
	t.Helper()
	const variable = "MXCLUSTER_TEST_AGAIN"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	New(t) // skips or fails where the rights are missing already here
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+t.Name(), "CI=true")
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in the other process: %v\n%s", err, out)
	}
	return false
}
