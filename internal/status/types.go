// Package status holds the answers of `list` and `status` in the contract's
// shape, and builds them from the cluster document and from what the agents
// claim. It does no I/O.
package status

import (
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
)

// ClusterList is the answer of `list -o json`.
type ClusterList struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"` // ClusterList
	Revision   uint64        `json:"revision"`
	Hash       string        `json:"hash"` // sha256:<hex> of the document's canonical form
	Clusters   []ListCluster `json:"clusters"`
}

// ListCluster is one cluster of a ClusterList.
type ListCluster struct {
	Name            string `json:"name"`
	Standby         string `json:"standby"`
	Fallback        string `json:"fallback"`
	Failover        string `json:"failover"`
	FailoverAfterMs int64  `json:"failoverAfterMs"`
	SplitBrainStop  string `json:"splitBrainStop"`
	FallbackWindow  string `json:"fallbackWindow"` // HH:MM-HH:MM of the local time of day, or always
	Rehearse        string `json:"rehearse"`       // off or nightly

	Frozen *Maintenance `json:"frozen"` // no LIM of it moves by itself; nil: they do
	LIMs   []ListLIM    `json:"lims"`
}

// ListLIM is one LIM of a ListCluster.
type ListLIM struct {
	LIM       int    `json:"lim"`
	Regular   string `json:"regular"`
	Base      string `json:"base"`
	Alias     string `json:"alias"`
	Interface string `json:"interface"`
	Priority  int    `json:"priority"`
	Lock      *Lock  `json:"lock"`
}

// Lock pins a LIM to one side.
type Lock struct {
	To      string     `json:"to"`
	Since   time.Time  `json:"since"`
	Expires *time.Time `json:"expires"`
	By      string     `json:"by"`
	Reason  string     `json:"reason"`
}

// Maintenance says that people work on a server or a cluster.
type Maintenance struct {
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until"` // nil: no end was given
	By     string     `json:"by"`
	Reason string     `json:"reason"`
}

// ClusterStatus is the answer of `status -o json`. What could not be seen is
// nil or "unknown", never false.
type ClusterStatus struct {
	APIVersion  string          `json:"apiVersion"`
	Kind        string          `json:"kind"` // ClusterStatus
	GeneratedAt time.Time       `json:"generatedAt"`
	Observer    string          `json:"observer"` // server that says this
	Agent       bool            `json:"agent"`    // whether an agent answered
	Revision    uint64          `json:"revision"`
	Removed     string          `json:"removed,omitempty"` // that the observer was removed from the system, in words; "": it was not
	Health      string          `json:"health"`            // ok, warning, critical or unknown
	Clusters    []StatusCluster `json:"clusters"`
	Unclustered []StatusLIM     `json:"unclustered"` // LIMs in no cluster; nobody takes them over
	Alarms      []Alarm         `json:"alarms"`      // that are about none of the clusters

	Redundant    *bool  `json:"redundant"` // the loss of any one server that serves a LIM would be covered; nil: that cannot be seen
	RedundantWhy string `json:"redundantWhy"`
}

// StatusCluster is one cluster of a ClusterStatus.
type StatusCluster struct {
	Name       string         `json:"name"`
	Health     string         `json:"health"`
	SplitBrain *bool          `json:"splitBrain"`
	LIMs       []StatusLIM    `json:"lims"`
	Servers    []StatusServer `json:"servers"`
	Alarms     []Alarm        `json:"alarms"`

	Redundant    *bool        `json:"redundant"`
	RedundantWhy string       `json:"redundantWhy"`
	Frozen       *Maintenance `json:"frozen"` // no LIM of it moves by itself; nil: they do
}

// StatusLIM says where one LIM runs, since when, and why.
type StatusLIM struct {
	LIM      int            `json:"lim"`
	ActiveOn *string        `json:"activeOn"` // server; nil when it runs nowhere or that is unknown
	Side     string         `json:"side"`     // regular, standby, none or unknown
	State    string         `json:"state"`
	Term     uint64         `json:"term"`
	Since    *time.Time     `json:"since"`
	Reason   string         `json:"reason"`
	Next     string         `json:"next"` // what would happen next, in words; "" where that is not known
	Preload  *string        `json:"preload"`
	Lock     *Lock          `json:"lock"`
	Waiting  bool           `json:"waiting"` // failed, and the standby is taken
	Fallback StatusFallback `json:"fallback"`
	Alias    StatusAlias    `json:"alias"`
	Data     *StatusData    `json:"data"`
	Arbiter  *StatusArbiter `json:"arbiter"` // nil: there is none

	Remedy *failover.Remedy `json:"remedy"` // what people can do, where the agents do nothing by themselves; nil: nothing is known

	Redundant    *bool           `json:"redundant"`    // the loss of the server where it is active would be covered; nil: that cannot be seen
	RedundantWhy string          `json:"redundantWhy"` // why not, or what limits it
	Takeover     *StatusTakeover `json:"takeoverMs"`   // nil: there would be none

	Cause     *StatusCause `json:"cause"`          // why it is where it is, until it moves again; nil: that is not known
	LastSplit *StatusSplit `json:"lastSplitBrain"` // the last one within a day; nil: there was none

	Rehearsal *StatusRehearsal `json:"rehearsal"` // the last one on the standby; nil: there was none, or it is not known
}

// What brought a LIM to where it is, as StatusCause.What says it.
const (
	CauseFailed    = string(failover.ByFailure)
	CauseOrdered   = string(failover.ByOrder)
	CauseFallback  = string(failover.ByFallback)
	CausePreempted = string(failover.ByPriority)
	CauseDrained   = string(failover.ByDrain)
	CauseStart     = string(failover.ByStart)
)

// AtHome is why a LIM runs on its regular server, where nothing else is to be said.
const AtHome = failover.AtHome

// Remedy is what people can do, and where they type it.
type Remedy = failover.Remedy

// StatusCause says what brought a LIM to where it is.
type StatusCause struct {
	What   string     `json:"what"` // failed, ordered, fallback, preempted, drained or start
	By     string     `json:"by"`   // who wanted it; "": the agents moved it by themselves
	Reason string     `json:"reason"`
	At     *time.Time `json:"at"` // nil: it is on its way
}

// StatusSplit is a time in which two servers served one LIM, each without knowing of the
// other.
type StatusSplit struct {
	Servers []string  `json:"servers"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
}

// StatusTakeover says how long a takeover would take, in parts.
type StatusTakeover struct {
	Detect int64  `json:"detect"` // milliseconds of silence after which the server counts as failed
	Start  *int64 `json:"start"`  // milliseconds that the start took there last, be it on trial; nil: it was not started there yet
	Lease  *int64 `json:"lease"`  // after which the lost server's key at the arbiter has run out, beside the silence; nil: there is no arbiter
}

// StatusRehearsal is what came of starting a LIM's software on trial.
type StatusRehearsal struct {
	At      time.Time `json:"at"`
	Version *string   `json:"version"` // of the data; nil: there were none
	Result  string    `json:"result"`  // ok, failed, skipped or aborted
	StartMs *int64    `json:"startMs"` // nil: it did not start
	Text    string    `json:"text"`
}

// StatusArbiter says who may run a LIM, by the arbiter's word to the observer.
type StatusArbiter struct {
	State  string  `json:"state"`  // held, free or unknown
	Server *string `json:"server"` // that holds the key; nil: none, or unknown
}

// StatusFallback says whether a LIM could return to its regular server now.
type StatusFallback struct {
	Type      string   `json:"type"`
	Ready     *bool    `json:"ready"`
	BlockedBy []string `json:"blockedBy"`
	HeldForMs int64    `json:"heldForMs"`
}

// StatusAlias says who holds the address that clients use.
type StatusAlias struct {
	Address       string     `json:"address"`
	Holders       []Holder   `json:"holders"`
	ForeignMAC    *string    `json:"foreignMac"` // of a host that is no server and uses it
	LastAnnounced *time.Time `json:"lastAnnounced"`
	AnnounceError *string    `json:"announceError"` // of the last announcement
}

// Holder is one server's view of its own kernel. Present is nil when unseen.
type Holder struct {
	Server  string `json:"server"`
	Present *bool  `json:"present"`
	Blocked *bool  `json:"blocked"` // read back from its kernel

	Probed *bool `json:"probed"` // of one that has the alias blocked: the other server asked it, and it did not answer (true), or did; nil: not yet
}

// StatusData says where the newest data version of a LIM lies.
type StatusData struct {
	Newest   *string `json:"newest"`
	NewestOn *string `json:"newestOn"` // regular, standby or both
	InSync   *bool   `json:"inSync"`
	AgeMs    *int64  `json:"ageMs"`
	Conflict *bool   `json:"conflict"`
	BehindMs *int64  `json:"behindMs"` // by how much the newest version of the other side is older; nil: both have the newest, or that is not known

	NextSyncAt *time.Time `json:"nextSyncAt"` // when an agent synchronises it at the latest; nil: that is not known
	Damaged    []string   `json:"damaged"`    // versions on either side that cannot be relied on
}

// StatusServer is what the observer knows of one server.
type StatusServer struct {
	Name          string  `json:"name"`
	Role          string  `json:"role"`
	Reachable     *bool   `json:"reachable"`
	SilentMs      *int64  `json:"silentMs"`
	Revision      *uint64 `json:"revision"`
	ClockOffsetMs *int64  `json:"clockOffsetMs"`
	Arbiter       *string `json:"arbiter"`  // reached or silent, by its own word; nil: it has none, or that is not known
	Ready         *bool   `json:"ready"`    // it could do its part if another server failed; nil: not known
	ReadyWhy      string  `json:"readyWhy"` // what keeps it from that, or to what that is limited

	Drained *Maintenance `json:"drained"` // nothing is to run on it; nil: it does its part

	Address string  `json:"address"` // its base
	Version *string `json:"version"` // of its agent when it was last heard; nil: not known

	Levels *levels.Levels `json:"levels"` // that this version understands; nil: not known
	Agent  *bool          `json:"agent"`  // one runs there; nil: that cannot be seen
}

// Alarm is one raised alarm.
type Alarm struct {
	Handle   int       `json:"handle"`
	Name     string    `json:"name"`
	Severity string    `json:"severity"`
	LIM      int       `json:"lim"`
	Server   string    `json:"server"`
	Expected bool      `json:"expected"`
	Noticed  bool      `json:"noticed"`
	RaisedAt time.Time `json:"raisedAt"`
	Text     string    `json:"text"`
	Notice   *Notice   `json:"notice,omitempty"` // of a noticed one
}

// Counts reports whether an alarm is one that somebody is to look at: neither as it should
// be nor known already. That something is not redundant stays so whoever knows it.
func (a *Alarm) Counts() bool {
	return !a.Expected && (!a.Noticed || a.Name == string(alarms.NotRedundant))
}

// Same reports whether two are one alarm.
func (a Alarm) Same(b Alarm) bool {
	return a.Handle == b.Handle && a.Name == b.Name && a.LIM == b.LIM && a.Server == b.Server
}

// Notice says who knows of an alarm.
type Notice struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Comment string    `json:"comment"`
}

// AlarmList is the answer of `alarms list`.
type AlarmList struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // AlarmList
	Observer   string    `json:"observer"`
	Alarms     []Alarm   `json:"alarms"`
	Unseen     []string  `json:"unseen"` // servers whose alarms cannot be seen
	At         time.Time `json:"generatedAt"`
}
