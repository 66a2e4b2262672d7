//go:build linux

package lab

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestNewDataIsCopied(t *testing.T) {
	t.Parallel()
	runScenario(t, "new-data", program(t))
}

// newDataScenario: a version that another program leaves on the server where the
// LIM runs comes to the standby by itself, once it no longer changes (spec ch. 3,
// "after every data backup").
func newDataScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	const name = "xdata_1_20260301020000"
	from, err := x.srv1.writeData(5)
	if err != nil {
		return err
	}
	store := filepath.Join(x.srv1.Dir(), "state", "xdata")
	if err := os.MkdirAll(store, 0o750); err != nil {
		return err
	}
	if err := os.Rename(from, filepath.Join(store, name)); err != nil {
		return err
	}
	there := filepath.Join(x.standby.Dir(), "state", "xdata", name, "extensions-4")
	f.noError(poll(ctx, "the version comes to the standby", func() bool {
		_, err := os.Stat(there)
		return err == nil
	}), "copying")
	// Both sides know that it went well.
	for _, s := range []*Server{x.srv1, x.standby} {
		f.noError(poll(ctx, "the sync is remembered", func() bool {
			_, err := os.Stat(filepath.Join(s.Dir(), "state", "sync", "lim-1.json"))
			return err == nil
		}), s.Name)
	}
	return f.err()
}
