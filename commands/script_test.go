package commands

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// worldKey finds a script's world among its values.
type worldKey struct{}

// TestScripts runs the command line as scripts do, in testdata/script. Beside
// testscript's own there are these commands:
//
//	mx CODE ARG...     mxcluster ARG..., which must end with exit code CODE
//	address PREFIX...  give this server's eth0 addresses
//	station MAC PREFIX another station on the wire
//	addresses          print this server's addresses
//	remember           note all files; and
//	unchanged          check that they are the same
//
// UPDATE_GOLDEN=1 writes the outputs compared with into the scripts.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: os.Getenv("UPDATE_GOLDEN") != "",
		Setup: func(env *testscript.Env) error {
			env.Values[worldKey{}] = newWorld(env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mx":        scriptMX,
			"address":   scriptAddress,
			"station":   scriptStation,
			"addresses": scriptAddresses,
			"remember":  scriptRemember,
			"unchanged": scriptUnchanged,
		},
	})
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func scriptMX(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: mx CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	w := worldOf(ts)
	for _, key := range []string{"MXCLUSTER_OUTPUT", "EDITOR", "VISUAL"} {
		w.environ[key] = ts.Getenv(key)
	}
	if name := ts.Getenv("SERVER"); name != "" {
		w.environ["MXCLUSTER_SERVER"] = name
	}
	a := w.run(context.Background(), args[1:]...)
	// The folder's name is another in each run.
	hide := strings.NewReplacer(w.dir, "$WORK")
	_, err = hide.WriteString(ts.Stdout(), a.out)
	ts.Check(err)
	_, err = hide.WriteString(ts.Stderr(), a.err)
	ts.Check(err)
	if int(a.code) != want {
		ts.Fatalf("exit code %d, want %d", a.code, want)
	}
}

func scriptAddress(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(addAddresses(worldOf(ts).kernel, "eth0", args...))
}

func scriptStation(ts *testscript.TestScript, _ bool, args []string) {
	mac, err := net.ParseMAC(args[0])
	ts.Check(err)
	ts.Check(worldOf(ts).station(mac, args[1:]...))
}

func scriptAddresses(ts *testscript.TestScript, _ bool, _ []string) {
	list, err := worldOf(ts).kernel.Addresses("eth0")
	ts.Check(err)
	for _, a := range list {
		_, err := ts.Stdout().Write([]byte(a.Prefix.String() + "\n"))
		ts.Check(err)
	}
}

func scriptRemember(ts *testscript.TestScript, _ bool, _ []string) {
	print, err := worldOf(ts).fingerprint()
	ts.Check(err)
	ts.Setenv("FINGERPRINT", print)
}

func scriptUnchanged(ts *testscript.TestScript, _ bool, _ []string) {
	print, err := worldOf(ts).fingerprint()
	ts.Check(err)
	if print != ts.Getenv("FINGERPRINT") {
		ts.Fatalf("something was written")
	}
}
