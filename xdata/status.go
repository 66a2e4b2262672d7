package xdata

import (
	"slices"

	"mxcluster/internal/lineage"
)

// Status is the state of a LIM's data on this server.
type Status struct {
	Versions []Version       // all, newest first
	Newest   *Version        // the newest complete one; nil: none
	Line     lineage.Version // lineage of the newest; its content where that is known without reading
	Conflict bool            // a sync found a conflict that has not ended
}

// Status returns the state of a LIM's data here. It reads no file content. An unreadable pair state
// is no error: Conflict is then false.
func (s *Store) Status(lim int) (Status, error) {
	versions, err := s.List(lim)
	st := Status{Versions: versions}
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
	if p.Common != nil && v.line.Node.Content == "" && p.Local == looksLike(&v) {
		st.Line.Node = p.Common.Node
	}
	st.Conflict = p.Conflict != nil && lineage.Compare(&st.Line, &p.Conflict.Theirs) != lineage.Newer
	return st, nil
}
