// Package check judges whether a system has what it needs to take over: the prerequisites of the
// specification (ch. 3 and 6), and what this program depends on besides. It is pure: facts in,
// findings out.
package check

import (
	"net/netip"
	"time"
)

// Facts are what one server says of itself. What it could not see has a reason in place of a value.
type Facts struct {
	Server  string    `json:"server"`
	Version string    `json:"version"`
	At      time.Time `json:"at"` // its clock when it answered
	OwnUser string    `json:"ownUser,omitempty"`

	Revision    uint64 `json:"revision"`
	Hash        string `json:"hash"`
	Key         string `json:"key,omitempty"` // fingerprint of the gossip key that it uses
	KeyProblem  string `json:"keyProblem,omitempty"`
	Agent       *Agent `json:"agent,omitempty"` // nil: it does not answer
	AgentSilent string `json:"agentSilent,omitempty"`

	Link        *Link     `json:"link,omitempty"` // nil: there is no such interface, or it was not seen
	LinkProblem string    `json:"linkProblem,omitempty"`
	Addresses   []Address `json:"addresses,omitempty"`
	Blind       string    `json:"blind,omitempty"`  // why its addresses were not seen; "": they were
	Blocking    Try       `json:"blocking"`         // rules of nftables, tried in a namespace of their own
	Brings      []Bring   `json:"brings,omitempty"` // what brings aliases up when the server boots
	BringsBlind string    `json:"bringsBlind,omitempty"`

	Ports    map[string]Try `json:"ports,omitempty"`    // TCP to the gossip port, by server
	Segments map[string]Try `json:"segments,omitempty"` // packets of the interface's full size, by server
	Logins   map[string]Try `json:"logins,omitempty"`   // as syncs log in, by server

	Announced []string `json:"announced,omitempty"` // servers whose gratuitous ARP was heard
	Deaf      string   `json:"deaf,omitempty"`      // why nobody could be heard

	Software map[int]Try `json:"software,omitempty"` // by LIM that this server may run
	Unset    []int       `json:"unset,omitempty"`    // LIMs that have no software

	Gateways    []Gateway     `json:"gateways,omitempty"`
	GatewayTry  Try           `json:"gatewayTry"`            // whether gateways could be asked for
	Backups     map[int]int64 `json:"backups,omitempty"`     // bytes of the largest version, by LIM
	Free        *int64        `json:"free,omitempty"`        // bytes for data versions
	DataProblem string        `json:"dataProblem,omitempty"` // why one of the two is not known

	ClockKept    *bool  `json:"clockKept,omitempty"` // the kernel says that a service keeps the clock; nil: not seen
	ClockService string `json:"clockService,omitempty"`
	ARPBudget    int    `json:"arpBudget"`

	ARP map[string]int `json:"arp,omitempty"` // the kernel's settings of ARP or neighbour discovery on the interface, those that were seen

	UnitsMissing string `json:"unitsMissing,omitempty"` // of an agent of a user of its own
}

// Try is what came of trying something.
type Try struct {
	Problem string `json:"problem,omitempty"` // why it does not work
	Unseen  string `json:"unseen,omitempty"`  // why it could not be tried
}

// Agent is how an agent is.
type Agent struct {
	Ready    bool              `json:"ready"`
	Isolated bool              `json:"isolated"`
	Settings string            `json:"settings,omitempty"` // that it does not work by those on the disk
	Hears    map[string]string `json:"hears"`              // liveness of the others, by server
}

// Link is the interface of a server.
type Link struct {
	Name     string `json:"name"`
	Up       bool   `json:"up"`
	MTU      int    `json:"mtu"`
	Promotes *bool  `json:"promotes,omitempty"` // promote_secondaries; nil: not seen
}

// Address is one that the kernel has.
type Address struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"`
	Permanent bool         `json:"permanent"`
}

// Bring is a line of the operating system's configuration that brings an alias up.
type Bring struct {
	Alias  netip.Addr `json:"alias"`
	Where  string     `json:"where"`
	Remedy string     `json:"remedy"`
}

// Gateway is one of the routes through the interface.
type Gateway struct {
	Address netip.Addr `json:"address"`
	Try
}
