package trusted

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// In a user namespace that knows one user alone, as the lab of an ordinary user has it, all that
// belongs to root outside seems to be nobody's: modes alone tell of it.
func TestOwnersThatANamespaceDoesNotKnow(t *testing.T) {
	if path := os.Getenv("MXCLUSTER_TEST_LOOK_AT"); path != "" {
		if err := Path(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	program := place(t)
	for _, test := range []struct {
		mode   os.FileMode
		wanted string // "": it is trusted
	}{{0o755, ""}, {0o757, "may be written by every user"}} {
		must(t, os.Chmod(program, test.mode))
		inside := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		inside.Env = append(os.Environ(), "MXCLUSTER_TEST_LOOK_AT="+program)
		inside.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		}
		if os.Geteuid() == 0 { // whose files are known in there
			inside.SysProcAttr.UidMappings[0].HostID = 1000
		}
		out, err := inside.CombinedOutput()
		if (err == nil) != (test.wanted == "") || !strings.Contains(string(out), test.wanted) {
			t.Errorf("mode %o: %v: %s", test.mode, err, out)
		}
	}
}
