package commands

import (
	"context"
	"os"
	"testing"
)

// asCommand makes this test program be mxcluster: the other end of a sync is a
// process of its own.
const asCommand = "MXCLUSTER_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) == "" {
		m.Run()
		return
	}
	env := newWorld(os.TempDir()).env(os.Stdout, os.Stderr)
	env.Stdin, env.Environ = os.Stdin, os.Environ()
	os.Exit(int(Run(context.Background(), env, os.Args[1:])))
}
