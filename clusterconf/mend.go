package clusterconf

import "context"

// Mend stores an edited text in the place of one that was found broken. It is an edit of
// what the agent worked by last, by the rules of [Store.Replace]; where that is not
// known it is taken as it is. An edit that comes to what the agent works by only puts
// that back: Result.Changed is false. If something else lies there by now, the error has
// code fault.Busy.
func (s *Store) Mend(ctx context.Context, found Found, edited *Document, change Change) (Result, error) {
	read, fn := s.mending(found, edited)
	r, err := s.edit(ctx, change, read, fn)
	if err == nil && !r.Changed {
		_, err = s.SetAside(ctx, found, r.After)
	}
	return r, err
}

// PreviewMend says what Mend would do and writes nothing.
func (s *Store) PreviewMend(found Found, edited *Document, change Change) (Result, error) {
	read, fn := s.mending(found, edited)
	return s.preview(change, read, fn)
}

// mending returns what is edited in the place of a broken document, and how.
func (s *Store) mending(found Found, edited *Document) (readStored, func(*Document) error) {
	if last := s.Remembered(); last != nil {
		read := func() (*Encoded, []byte, error) { return last, last.bytes, s.still(found) }
		return read, func(d *Document) error { return d.ReplaceWith(edited) }
	}
	return s.readOrStandIn(edited.System), func(d *Document) error { return d.Restore(edited) }
}
