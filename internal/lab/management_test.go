//go:build linux

package lab

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// managementEnv has the management system be played through.
const managementEnv = "MXCLUSTER_TEST_MANAGEMENT"

// The management system is set up on two real PostgreSQL by the commands that people use, goes
// over to the standby with LIM 1 when its server loses its power, and comes back by order:
// nothing is lost in order, and what was set up is taken down again. It is played on demand, for it
// takes a processor for a minute, which the scenarios beside it would miss.
func TestManagementSystemFollowsItsLIM(t *testing.T) {
	if os.Getenv(managementEnv) == "" {
		return
	}
	if err := managementMissing(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	runScenario(t, "management", program(t))
}

// managementScenario is the demonstration, which PostgreSQL's user reaches through the folders above.
func managementScenario(ctx context.Context, l *Lab) error {
	if err := os.Chmod(filepath.Dir(l.Dir), 0o755); err != nil {
		return err
	}
	return ManagementScenario(os.Stdout, false)(ctx, l)
}
