package commands

import (
	"strings"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// read reads the cluster document and finds this server in it: a host name may have a domain, and
// any case.
func (s *server) read() (*clusterconf.Document, error) {
	doc, err := s.store.Read()
	if err != nil {
		return nil, doing(err, "reading the cluster document")
	}
	s.resolveName(doc)
	return doc, nil
}

// resolveName replaces this server's name by the document's, if that is unambiguous.
func (s *server) resolveName(doc *clusterconf.Document) {
	if found := doc.Called(s.settings.Server); len(found) == 1 {
		s.settings.Server = found[0]
	}
}

// checkKnown checks that this server is in the document: its name may be a host name that was never
// added by 'mxcluster server add'.
func (s *server) checkKnown(doc *clusterconf.Document) error {
	name := s.settings.Server
	if doc.Server(name) != nil {
		return nil
	}
	hint := "set 'server' in " + s.dirs.Settings() + " to this server's name in 'mxcluster server list'"
	if found := doc.Called(name); len(found) > 1 {
		return fault.New(fault.NotFound, hint, "this server calls itself %q, and that may be %s of the cluster document", name, strings.Join(found, " or "))
	}
	return fault.New(fault.NotFound, hint, "there is no server %q in the cluster document", name)
}
