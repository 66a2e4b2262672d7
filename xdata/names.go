package xdata

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/lineage"
)

// No name that is given here ever stands for two contents. Where the other side gives
// names, too, a standby takes odd seconds and a regular server even ones. A name that was
// given is not given again when its version is gone: another side may still have that, or
// somebody wrote it down.

// maxGivenNames is how many names are remembered. What is made goes on from them, so an older
// one would come again only where the clock was set back by more than farAhead.
const maxGivenNames = 64

// names are those of a LIM that stand for a version already, whether that is here or not.
type names map[string]bool

// taken adds names.
func (n *names) taken(all ...string) {
	if *n == nil {
		*n = names{}
	}
	for _, name := range all {
		(*n)[name] = true
	}
}

// known adds the names of a version, and of all that it speaks of.
func (n *names) known(v *lineage.Version) {
	n.taken(v.Node.Name)
	for _, of := range slices.Concat(v.Ancestors, v.Rejected) {
		n.taken(of.Name)
	}
}

// add adds the names of versions, and of all that they speak of.
func (n *names) add(versions []seen) {
	for i := range versions {
		n.known(&versions[i].line)
	}
}

// freeName returns the name of the version that is staged: the one that it has, or the
// first one that is free from a time on.
func (g *staging) freeName(stamp time.Time) (string, error) {
	if name := versionName(g.lim, stamp); g.arrives {
		if free, err := g.isFree(name); free || err != nil {
			return name, err
		}
		stamp = stamp.Add(time.Second)
	}
	step := time.Second
	if side := g.store.Side; side != "" {
		step *= 2
		if odd := stamp.Unix()%2 != 0; odd != (side == clusterconf.SideStandby) {
			stamp = stamp.Add(time.Second)
		}
	}
	for ; ; stamp = stamp.Add(step) {
		name := versionName(g.lim, stamp)
		if g.names[name] {
			continue
		}
		if free, err := g.isFree(name); free || err != nil {
			return name, err
		}
	}
}

// isFree tells whether nothing here has a name, among the versions or those set aside.
func (g *staging) isFree(name string) (bool, error) {
	for _, dir := range []string{g.store.Dir, filepath.Join(g.store.Dir, asideName)} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return true, nil
}
