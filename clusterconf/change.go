package clusterconf

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"mxcluster/internal/fault"
)

// ChangeSpec says what to change of a cluster; what is nil stays as it is.
type ChangeSpec struct {
	Fallback       *FallbackType
	Priorities     map[int]int    // by LIM; 0 is the highest
	FailoverAfter  *time.Duration // 0: the default of the cluster's failover mode
	SplitBrainStop *Side
	FallbackWindow *Window
	Rehearse       *Rehearse
}

// ChangeCluster changes settings of a cluster (spec ch. 10, "Change Fallback
// Type and LIM").
func (d *Document) ChangeCluster(name string, spec ChangeSpec) error {
	if err := spec.usable(name); err != nil {
		return err
	}
	c, err := d.needCluster(name)
	if err != nil {
		return err
	}
	lims := slices.Sorted(maps.Keys(spec.Priorities))
	for _, lim := range lims {
		if c.Member(lim) == nil {
			return d.notIn(c, lim, "change the priority of")
		}
	}
	for _, lim := range lims {
		c.Member(lim).Priority = spec.Priorities[lim]
	}
	set(&c.Fallback, spec.Fallback)
	set(&c.SplitBrainStop, spec.SplitBrainStop)
	set(&c.FallbackWindow, spec.FallbackWindow)
	set(&c.Rehearse, spec.Rehearse)
	if spec.FailoverAfter != nil {
		c.FailoverAfter = Duration(*spec.FailoverAfter)
	}
	return nil
}

func set[T any](dst, src *T) {
	if src != nil {
		*dst = *src
	}
}

// usable checks what can be said without the document.
func (s ChangeSpec) usable(name string) error {
	if s.Fallback == nil && s.Priorities == nil && s.FailoverAfter == nil && s.SplitBrainStop == nil && s.FallbackWindow == nil && s.Rehearse == nil {
		return fault.New(fault.Usage, "give --fallback, --fallback-window, --priority, --failover-after, --split-brain-stop or --rehearse",
			"nothing is to be changed of cluster %s", name)
	}
	if err := cmp.Or(check(s.Fallback, knownFallback), check(s.SplitBrainStop, knownSplitBrainStop),
		check(s.FailoverAfter, longEnough)); err != nil {
		return err
	}
	for _, lim := range slices.Sorted(maps.Keys(s.Priorities)) {
		if err := usablePriority(lim, s.Priorities[lim]); err != nil {
			return err
		}
	}
	return nil
}

// check checks a value where there is one.
func check[T any](v *T, usable func(T) error) error {
	if v == nil {
		return nil
	}
	return usable(*v)
}

// PreloadCluster makes the standby keep the software of the cluster's only LIM
// loaded. It ends only with the cluster (spec ch. 10).
func (d *Document) PreloadCluster(name string) error {
	c, err := d.needCluster(name)
	if err != nil {
		return err
	}
	if len(c.Leaves()) == len(c.LIMs) {
		return fault.New(fault.Refused, "create it again when it is deleted: mxcluster delete "+name+" --wait",
			"cannot preload cluster %s: it is being deleted", name)
	}
	if len(c.LIMs) > 1 {
		return fault.New(fault.Refused, "give the other LIMs clusters of their own: mxcluster remove-lim, then mxcluster create",
			"cannot preload cluster %s: it has %d LIMs, a preloaded cluster has one", name, len(c.LIMs))
	}
	c.Failover = FailoverPreloaded
	return nil
}

func knownFallback(f FallbackType) error {
	if slices.Contains(fallbackTypes, f) {
		return nil
	}
	return fault.New(fault.Usage, "write "+alternatives(fallbackTypes), "%q is not a fallback type", f)
}

func knownSplitBrainStop(s Side) error {
	if slices.Contains(sides, s) {
		return nil
	}
	return fault.New(fault.Usage, "write "+alternatives(sides), "%q is not a side to stop at a split brain", s)
}

// longEnough accepts 0, which stands for the default.
func longEnough(after time.Duration) error {
	if after == 0 || after >= MinFailoverAfter {
		return nil
	}
	return fault.New(fault.Usage, "give "+MinFailoverAfter.String()+" or more",
		"a failover after %s is too early, the least is %s", after, MinFailoverAfter)
}

func usablePriority(lim, priority int) error {
	switch {
	case !validLIM(lim):
		return badLIM(lim)
	case priority < 0:
		return fault.New(fault.Usage, "give 0 or more; a lower value is a higher priority",
			"the priority of LIM %d is %d", lim, priority)
	}
	return nil
}
