package xdata

import (
	"slices"

	"mxcluster/internal/lineage"
)

// Standing is how the data of a LIM stand on this server.
type Standing struct {
	Versions []Version       // all there are, the newest first
	Newest   *Version        // the newest complete one; nil: there is none
	Line     lineage.Version // what it says of itself; its content as far as that is known without reading
	Conflict bool            // a sync found a conflict that is not over
}

// Standing tells how the data of a LIM stand here. It reads no data, and what is noted of
// its syncs is no reason not to name the newest version.
func (s *Store) Standing(lim int) (Standing, error) {
	versions, err := s.List(lim)
	st := Standing{Versions: versions}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Complete })
	if err != nil || i < 0 {
		return st, err
	}
	v := versions[i]
	st.Newest, st.Line = &v, v.line
	p, err := s.files(lim).pair()
	if err != nil {
		s.warn(err)
		return st, nil
	}
	if p.Whole != nil && v.line.Node.Content == "" && p.Local == looksLike(&v) {
		st.Line.Node = p.Whole.Node
	}
	st.Conflict = p.Conflict != nil && lineage.Compare(&st.Line, &p.Conflict.Theirs) != lineage.Newer
	return st, nil
}
