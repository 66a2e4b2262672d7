package netops_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcluster/netops"
)

const holderVariable = "MXCLUSTER_TEST_HOLDER"

// holdAlias is the process under test: it holds the alias until the lease is lost.
func holdAlias(t *testing.T) {
	const lease = time.Second
	k, err := netops.NewKernel()
	must(t, err)
	defer k.Close()
	must(t, k.Hold(eth0, alias, lease))
	until := time.Now().Add(lease)
	tick := time.NewTicker(lease / 10)
	defer tick.Stop()
	for {
		<-tick.C
		now := time.Now()
		err := k.Extend(eth0, alias, lease, until)
		if errors.Is(err, netops.ErrLeaseLost) {
			return
		}
		must(t, err)
		until = now.Add(lease)
	}
}

// A process that is stopped past its lease loses the alias, and does not bring
// it back when it goes on.
func TestStoppedHolderDoesNotComeBack(t *testing.T) {
	if os.Getenv(holderVariable) != "" {
		holdAlias(t)
		return
	}
	t.Parallel()
	h := newHosts(t, 1)[0]
	for round := range 3 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), holderVariable+"=1")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		must(t, h.ns.Do(cmd.Start))
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() { _ = cmd.Process.Kill() })

		eventually(t, 10*time.Second, "the alias is held", func() bool { return h.has(alias) })
		sample(1200*time.Millisecond+time.Duration(round)*37*time.Millisecond, func() {
			if !h.has(alias) {
				t.Error("lost while the holder runs")
			}
		})
		must(t, cmd.Process.Signal(syscall.SIGSTOP))
		took := eventually(t, 10*time.Second, "the alias is gone", func() bool { return !h.has(alias) })
		must(t, cmd.Process.Signal(syscall.SIGCONT))
		back := 0
		n := sample(500*time.Millisecond, func() {
			if h.has(alias) {
				back++
			}
		})
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the holder: %v\n%s", err, &out)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the holder goes on though its lease is lost")
		}
		t.Logf("gone %s after the stop; after it went on, there in %d of %d samples", took.Round(time.Millisecond), back, n)
		if back > 0 {
			t.Error("the alias came back")
		}
	}
}
