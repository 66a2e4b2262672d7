// Package clusterconf is the cluster document: what servers, LIMs and clusters
// there are, the rules of the specification that bind them, and the store that
// keeps them in one file which is never torn, lost or invalid.
//
// The package works on files and values only; it opens no socket.
package clusterconf

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// APIVersion and Kind open every cluster document.
const (
	APIVersion = "mxcluster/v1"
	Kind       = "ClusterDocument"
)

// Limits and defaults of the specification (chapter 6) and the contract.
const (
	MaxLIMs         = 10  // LIMs of one cluster
	MaxLIMNumber    = 999 // LIMs are numbered from 1
	MaxName         = 63  // bytes of a server's or cluster's name
	DefaultPriority = 100 // a lower value is a higher priority

	DefaultFailoverAfter          = 10 * time.Second // normal clusters
	DefaultFailoverAfterPreloaded = time.Second
	MinFailoverAfter              = 100 * time.Millisecond
)

// FallbackType says how a LIM comes back from the standby (spec ch. 2).
type FallbackType string

// The two fallback types.
const (
	FallbackManual    FallbackType = "manual"    // by order only
	FallbackAutomatic FallbackType = "automatic" // as soon as the regular server is ready
)

// FailoverMode says how a standby is prepared (spec ch. 4).
type FailoverMode string

// The two failover modes.
const (
	FailoverNormal    FailoverMode = "normal"    // software is started at failover
	FailoverPreloaded FailoverMode = "preloaded" // software runs on both sides
)

// Side is one of the two places where a LIM can run.
type Side string

// The two sides.
const (
	SideRegular Side = "regular"
	SideStandby Side = "standby"
)

// Other returns the opposite side.
func (s Side) Other() Side {
	if s == SideRegular {
		return SideStandby
	}
	return SideRegular
}

// Role says what a server is used for (spec ch. 5).
type Role string

// The roles of a server.
const (
	RoleRegular Role = "regular" // has a LIM
	RoleStandby Role = "standby" // can take over for regular servers
	RoleFree    Role = "free"    // neither yet
)

// Document is the whole configuration of one system.
type Document struct {
	APIVersion string      `yaml:"apiVersion" json:"apiVersion"`
	Kind       string      `yaml:"kind" json:"kind"`
	Level      int         `yaml:"level,omitempty" json:"level,omitempty"` // that a version must understand to read it, see [Document.AtLevel]; 0: the first
	System     string      `yaml:"system" json:"system"`                   // random identity made by init: two systems never mix
	Revision   uint64      `yaml:"revision" json:"revision"`
	Epoch      uint64      `yaml:"epoch,omitempty" json:"epoch,omitempty"` // raised where the place of edits moves, because the former one is gone
	Changed    Change      `yaml:"changed" json:"changed"`
	Editor     string      `yaml:"editor,omitempty" json:"editor,omitempty"` // the server that carries edits out in this epoch; see [Document.EditedOn]
	Servers    []Server    `yaml:"servers" json:"servers"`
	LIMs       []LIM       `yaml:"lims,omitempty" json:"lims,omitempty"`
	Clusters   []Cluster   `yaml:"clusters,omitempty" json:"clusters,omitempty"`
	Management *Management `yaml:"management,omitempty" json:"management,omitempty" level:"2"` // nil: the management system is not redundant
	Others     Foreign     `yaml:"-" json:"-" level:"2"`
	Ancestors  []string    `yaml:"ancestors,omitempty" json:"ancestors,omitempty"` // marks of the documents that this one was edited from, the newest first; see [Mark]
}

// Change says how a revision came about.
type Change struct {
	At      time.Time `yaml:"at" json:"at"` // UTC
	By      string    `yaml:"by,omitempty" json:"by,omitempty"`
	On      string    `yaml:"server,omitempty" json:"server,omitempty"` // where the edit was made
	Command string    `yaml:"command,omitempty" json:"command,omitempty"`
	Reason  string    `yaml:"reason,omitempty" json:"reason,omitempty"`
}

// Server is one machine. Its base address never moves.
type Server struct {
	Name      string       `yaml:"name" json:"name"`
	Base      netip.Prefix `yaml:"base" json:"base"`
	ReachedAt netip.Prefix `yaml:"reachedAt,omitempty" json:"reachedAt,omitzero"` // its base until a moment ago: kept until every server knows the new one; invalid: none is kept
	Interface string       `yaml:"interface" json:"interface"`
	LIM       int          `yaml:"lim,omitempty" json:"lim,omitempty"`                   // 0: none
	Standby   bool         `yaml:"standby,omitempty" json:"standby,omitempty"`           // excludes LIM
	Drained   *Maintenance `yaml:"drained,omitempty" json:"drained,omitempty" level:"2"` // nothing is started here, and what runs here leaves; nil: it does its part

	LeftBehind bool `yaml:"leftBehind,omitempty" json:"leftBehind,omitempty" level:"2"` // its version need not be able to read the document

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// Role derives what the server is used for.
func (s Server) Role() Role {
	switch {
	case s.Standby:
		return RoleStandby
	case s.LIM != 0:
		return RoleRegular
	}
	return RoleFree
}

// LIM is the telephone exchange's node software of one regular server.
type LIM struct {
	Number      int          `yaml:"lim" json:"lim"`
	Services    []Service    `yaml:"services,omitempty" json:"services,omitempty"`                 // started in order, stopped in reverse
	Checks      []string     `yaml:"checks,omitempty" json:"checks,omitempty" level:"2"`           // programs, as exec:PATH, that tell whether a server is fit to run the LIM
	MediaServer *MediaServer `yaml:"mediaServer,omitempty" json:"mediaServer,omitempty"`           // nil: none
	Gateways    []string     `yaml:"gateways,omitempty" json:"gateways,omitempty"`                 // media gateways that move with the LIM (spec ch. 2)
	Prompts     string       `yaml:"prompts,omitempty" json:"prompts,omitempty"`                   // folder of announcement prompts, which the standby must have, too (spec ch. 2); "": none
	Rehearsable bool         `yaml:"rehearsable,omitempty" json:"rehearsable,omitempty" level:"2"` // its software may be started in a rehearsal

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// Service is one piece of a LIM's software.
type Service struct {
	Run         string `yaml:"run" json:"run"`                                     // SPEC of the contract, e.g. exec:/opt/lim/service
	RegularOnly bool   `yaml:"regularOnly,omitempty" json:"regularOnly,omitempty"` // not started on the standby (spec ch. 6)

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// Cluster groups regular servers, by their LIMs, with one standby server.
type Cluster struct {
	Name           string       `yaml:"name" json:"name"`
	Standby        string       `yaml:"standby" json:"standby"`
	Fallback       FallbackType `yaml:"fallback" json:"fallback"`
	Failover       FailoverMode `yaml:"failover" json:"failover"`
	FailoverAfter  Duration     `yaml:"failoverAfter,omitempty" json:"failoverAfter,omitempty"` // 0: the mode's default
	SplitBrainStop Side         `yaml:"splitBrainStop" json:"splitBrainStop"`
	FallbackWindow Window       `yaml:"fallbackWindow,omitempty" json:"fallbackWindow,omitzero" level:"2"` // of the local time of day, for automatic fallback
	Rehearse       Rehearse     `yaml:"rehearse,omitempty" json:"rehearse,omitempty" level:"2"`            // when the standby rehearses takeovers by itself
	Frozen         *Maintenance `yaml:"frozen,omitempty" json:"frozen,omitempty" level:"2"`                // no LIM moves by itself, until its end; nil: they do
	LIMs           []Member     `yaml:"lims" json:"lims"`

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// Member is a LIM's place in a cluster.
type Member struct {
	LIM      int          `yaml:"lim" json:"lim"`
	Alias    netip.Prefix `yaml:"alias" json:"alias"` // the address that clients use; moves with the LIM
	Priority int          `yaml:"priority" json:"priority"`
	Lock     *Lock        `yaml:"lock,omitempty" json:"lock,omitempty"` // nil: not locked

	Leaving bool   `yaml:"leaving,omitempty" json:"leaving,omitempty"`           // it is on its way out of the cluster: not taken over any more
	Dead    string `yaml:"serverIsDead,omitempty" json:"serverIsDead,omitempty"` // the regular or the standby server, lost for good: leaving does not wait for it; "": neither

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// SilenceLimit returns how long a server must be silent before it counts as
// failed: the value set, or the default of the cluster's failover mode.
func (c *Cluster) SilenceLimit() time.Duration {
	switch {
	case c.FailoverAfter != 0:
		return time.Duration(c.FailoverAfter)
	case c.Failover == FailoverPreloaded:
		return DefaultFailoverAfterPreloaded
	}
	return DefaultFailoverAfter
}

// Member returns the cluster's entry for a LIM, or nil.
func (c *Cluster) Member(lim int) *Member {
	for i := range c.LIMs {
		if c.LIMs[i].LIM == lim {
			return &c.LIMs[i]
		}
	}
	return nil
}

// Server returns the server of that name, or nil.
func (d *Document) Server(name string) *Server {
	for i := range d.Servers {
		if d.Servers[i].Name == name {
			return &d.Servers[i]
		}
	}
	return nil
}

// RegularOf returns the regular server of a LIM, or nil.
func (d *Document) RegularOf(lim int) *Server {
	if lim == 0 {
		return nil
	}
	for i := range d.Servers {
		if d.Servers[i].LIM == lim {
			return &d.Servers[i]
		}
	}
	return nil
}

// LIM returns the software entry of a LIM, or nil.
func (d *Document) LIM(number int) *LIM {
	for i := range d.LIMs {
		if d.LIMs[i].Number == number {
			return &d.LIMs[i]
		}
	}
	return nil
}

// Cluster returns the cluster of that name, or nil.
func (d *Document) Cluster(name string) *Cluster {
	for i := range d.Clusters {
		if d.Clusters[i].Name == name {
			return &d.Clusters[i]
		}
	}
	return nil
}

// ClusterOfLIM returns the cluster that a LIM belongs to, or nil.
func (d *Document) ClusterOfLIM(lim int) *Cluster {
	for i := range d.Clusters {
		if d.Clusters[i].Member(lim) != nil {
			return &d.Clusters[i]
		}
	}
	return nil
}

// ClusterOfServer returns the cluster that a server belongs to, as its standby
// or as the regular server of one of its LIMs, or nil.
func (d *Document) ClusterOfServer(name string) *Cluster {
	for i := range d.Clusters {
		if d.Clusters[i].Standby == name {
			return &d.Clusters[i]
		}
	}
	if s := d.Server(name); s != nil && s.LIM != 0 {
		return d.ClusterOfLIM(s.LIM)
	}
	return nil
}

// Clone returns a deep copy.
func (d *Document) Clone() *Document {
	c := *d
	c.Ancestors, c.Management = slices.Clone(d.Ancestors), cloneOf(d.Management)
	c.Servers = slices.Clone(d.Servers)
	for i := range c.Servers {
		c.Servers[i].Drained = c.Servers[i].Drained.clone()
	}
	c.LIMs = slices.Clone(d.LIMs)
	for i := range c.LIMs {
		l := &c.LIMs[i]
		l.Services, l.Checks, l.Gateways = slices.Clone(l.Services), slices.Clone(l.Checks), slices.Clone(l.Gateways)
		l.MediaServer = cloneOf(l.MediaServer)
	}
	c.Clusters = slices.Clone(d.Clusters)
	for i := range c.Clusters {
		members := slices.Clone(c.Clusters[i].LIMs)
		for j := range members {
			members[j].Lock = members[j].Lock.clone()
		}
		c.Clusters[i].LIMs, c.Clusters[i].Frozen = members, c.Clusters[i].Frozen.clone()
	}
	return &c
}

// cloneOf returns a copy of what p points to, or nil.
func cloneOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// Duration is a time.Duration written as "300ms", "10s" or "5m".
type Duration time.Duration

// String writes the duration in Go's notation without empty parts: 5m, not 5m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes what String returns.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(d.String()), nil
}

// UnmarshalText reads Go's notation.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}
