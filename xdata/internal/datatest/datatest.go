// Package datatest holds what the tests of several packages of data versions use.
package datatest

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Connected returns the two ends of a connection like that to an ssh process.
func Connected(t testing.TB) (ours, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	Must(t, err)
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	Must(t, unix.SetNonblock(fds[0], true))
	ours, theirs = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// Noise returns n bytes that do not compress, the same ones for the same seed.
func Noise(seed byte, n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // it never fails
	return string(b)
}

// Words returns n bytes that compress well.
func Words(seed byte, n int) string {
	p := []byte(Noise(seed, n))
	for i := range p {
		p[i] &= 0x0f
	}
	return string(p)
}

// ACL returns an encoded access list for: owner, user 1234, owning group, mask, others.
func ACL(owner, user, group, mask, others uint16) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, owner, 1<<32 - 1}, {2, user, 1234}, {4, group, 1<<32 - 1}, {16, mask, 1<<32 - 1}, {32, others, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, e.tag), e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return string(b)
}

// WantCode checks an error's code and text, and that it has a hint where its code needs one.
func WantCode(t testing.TB, err error, want fault.Code, text string) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Fatalf("code %d, want %d: %v", got, want, err)
	}
	if err == nil {
		return
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not say %q", err, text)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of more than one line: %q", err)
	}
}

// WaitUntil polls until done, where there is no event to wait for.
func WaitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
