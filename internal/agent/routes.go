package agent

import "slices"

// leaveRoutes carries the routes whose preferred source is a LIM's alias over to the
// base address, before the alias goes or is blocked: the kernel would delete them, and
// with them perhaps the way to the administrator. They are remembered.
func (a *Agent) leaveRoutes(l *lim) {
	moved, err := a.deps.Kernel.MoveRoutes(l.alias.Addr(), a.net.base.Addr(), nil)
	if err != nil {
		a.log.Error("carrying routes over from an alias to the base address", "lim", l.number, "err", err)
	}
	for _, r := range moved {
		if !slices.Contains(l.routes, r) {
			l.routes = append(l.routes, r)
		}
	}
}

// returnRoutes gives the routes that were carried over their source back, now that the
// alias serves here again.
func (a *Agent) returnRoutes(l *lim) {
	if len(l.routes) == 0 {
		return
	}
	if _, err := a.deps.Kernel.MoveRoutes(a.net.base.Addr(), l.alias.Addr(), l.routes); err != nil {
		a.log.Error("carrying routes back to an alias", "lim", l.number, "err", err)
	}
	l.routes = nil
}
