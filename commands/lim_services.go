package commands

import (
	"context"
	"fmt"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/services"
)

// lookAtServices checks, on a server that may run a LIM, whether its new services could start
// there. What no installation can fix is refused; what is not installed yet is reported, as the
// agents watch for it.
func (s *server) lookAtServices(ctx context.Context, lim int, list []clusterconf.Service) (missing []string, err error) {
	doc, err := s.read()
	if err != nil || len(list) == 0 {
		return nil, nil // the edit itself reports what is wrong with the document
	}
	me, regular, cluster := doc.Server(s.settings.Server), doc.RegularOf(lim), doc.ClusterOfLIM(lim)
	if me == nil || regular == nil || me.Name != regular.Name && (cluster == nil || cluster.Standby != me.Name) {
		return nil, nil
	}
	env := services.Env{LIM: lim, Alias: regular.Base.Addr(), Server: me.Name}
	if cluster != nil {
		env.Alias = cluster.Member(lim).Alias.Addr()
	}
	for _, entry := range list {
		if entry.RegularOnly && me.Standby {
			continue
		}
		service, err := services.Parse(entry.Run, services.Options{Instance: s.dirs.State, CheckTimeout: s.settings.ServiceCheckLimit})
		if err != nil {
			return nil, nil // the same
		}
		switch err := (services.Set{service}).Able(ctx, env); {
		case fault.CodeOf(err) == fault.Refused && err != nil:
			return nil, err
		case err != nil:
			missing = append(missing, fmt.Sprintf("on %s, now: %v", me.Name, err))
		}
	}
	return missing, nil
}
