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

// A name given here never stands for two contents. Where both sides give names, the standby uses
// odd seconds and the regular server even ones. The name of a removed version is not given again:
// the other side may still have that version, and a person may have noted it.

// maxGivenNames is how many given names are remembered. New names are later than these, so an older
// name could come again only after the clock was set back by more than farAhead.
const maxGivenNames = 64

// names are the version names of a LIM that are in use, here or elsewhere.
type names map[string]bool

// add adds names.
func (n *names) add(all ...string) {
	if *n == nil {
		*n = names{}
	}
	for _, name := range all {
		(*n)[name] = true
	}
}

// addLineage adds the names of a version, its ancestors, and those that it rejected.
func (n *names) addLineage(v *lineage.Version) {
	n.add(v.Node.Name)
	for _, of := range slices.Concat(v.Ancestors, v.Rejected) {
		n.add(of.Name)
	}
}

// addVersions does this for versions.
func (n *names) addVersions(versions []observed) {
	for i := range versions {
		n.addLineage(&versions[i].line)
	}
}

// freeName returns the name for the staged version: its own one if it arrives with a name, else the
// first free one at or after stamp.
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

// isFree tells whether no version here has a name, those set aside included.
func (g *staging) isFree(name string) (bool, error) {
	for _, dir := range []string{g.store.Dir, filepath.Join(g.store.Dir, asideName)} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return true, nil
}
