package manager

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Node is what was found on one server. Servers tell it to each other.
type Node struct {
	Server    string     `json:"server"`
	Instances []Instance `json:"instances"` // of PostgreSQL; never nil
	Chosen    string     `json:"chosen"`    // name of the one that counts there; "": the only one
	Packages  []Package  `json:"packages"`  // that are asked for by the settings there

	WebServer *WebServer `json:"webServer,omitempty"` // nil: its settings name none

	HoldsAddress *bool `json:"holdsAddress,omitempty"` // it has the virtual address; nil: there is none, or it was not seen
}

// WebServer is the web server of the management system on a server.
type WebServer struct {
	Service string `json:"service"` // its SPEC
	State   string `json:"state"`   // running, stopped, failed or unknown
}

// Package is what a server has of a package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"` // "": it is not installed
}

// Instance is one PostgreSQL on a server.
type Instance struct {
	Name      string    `json:"name"`  // as postgresql-common has it, e.g. 15/main
	Major     int       `json:"major"` // version, e.g. 15
	Port      int       `json:"port"`  // 0: it is not running
	DataDir   string    `json:"dataDir"`
	FreeBytes *int64    `json:"freeBytes"` // where the data are; nil: could not be seen
	Database  *Database `json:"database"`  // nil: it did not answer
	Problem   string    `json:"problem"`   // why it did not answer; "": it did
}

// Database is what a running PostgreSQL says of itself.
type Database struct {
	SystemID   string            `json:"systemId"` // two with the same one have a common history
	ReadOnly   bool              `json:"readOnly"` // it follows another one, or waits for one
	Timeline   uint32            `json:"timeline"`
	Position   LSN               `json:"position"`   // of the write-ahead log: written, or replayed where it is read-only
	Received   LSN               `json:"received"`   // where it is read-only; else 0
	ReplayedAt *time.Time        `json:"replayedAt"` // when the last change that it has was made; nil: it was none, or is the writer
	Upstream   *Upstream         `json:"upstream"`   // nil: it receives from nobody
	Followers  []Follower        `json:"followers"`
	Slots      []Slot            `json:"slots"`
	Settings   map[string]string `json:"settings"`  // those that both sides should have alike
	Databases  []string          `json:"databases"` // that people or programs made
	Bytes      int64             `json:"bytes"`     // of all databases
}

// Upstream is whom a read-only PostgreSQL receives from.
type Upstream struct {
	Host   string `json:"host"`
	Status string `json:"status"` // streaming where all is well
	Slot   string `json:"slot"`
}

// Follower is one who receives from a PostgreSQL.
type Follower struct {
	Address  string `json:"address"` // "" by a socket of the machine
	State    string `json:"state"`   // streaming where all is well
	Sync     string `json:"sync"`    // async, sync, potential or quorum
	Replayed LSN    `json:"replayed"`
}

// Slot keeps the log for a follower until that has it.
type Slot struct {
	Name     string `json:"name"`
	Active   bool   `json:"active"`
	WAL      string `json:"wal"`      // reserved, extended, unreserved or lost
	Retained int64  `json:"retained"` // bytes of the log that are kept for it
}

// Lost tells whether the follower of a slot can no longer catch up by it.
func (s Slot) Lost() bool { return s.WAL == "lost" }

// LSN is a position in the write-ahead log, in bytes. 0: none.
type LSN uint64

// ParseLSN reads PostgreSQL's form, e.g. 16/B374D848.
func ParseLSN(text string) (LSN, error) {
	high, low, ok := strings.Cut(text, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is not a position in the write-ahead log", text)
	}
	return LSN(h<<32 | l), nil
}

// String writes PostgreSQL's form.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint64(l)>>32, uint32(l)) }

// MarshalText writes what String returns.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what String returns.
func (l *LSN) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLSN(string(text))
	return err
}

// Behind returns how many bytes l lacks to the position ahead; 0 where it lacks none.
func (l LSN) Behind(ahead LSN) int64 {
	if ahead <= l {
		return 0
	}
	return int64(ahead - l)
}

// Sight is what one server knows of another, or of itself.
type Sight struct {
	Node *Node  // nil: it could not be seen
	Why  string // it could not be seen
}

// Instance returns the PostgreSQL that counts, or why there is none.
func (s Sight) Instance() (*Instance, string) {
	switch {
	case s.Node == nil:
		return nil, s.Why
	case s.Node.Chosen != "":
		for i := range s.Node.Instances {
			if s.Node.Instances[i].Name == s.Node.Chosen {
				return &s.Node.Instances[i], ""
			}
		}
		return nil, "there is no PostgreSQL " + s.Node.Chosen
	case len(s.Node.Instances) == 0:
		return nil, "no PostgreSQL was found"
	case len(s.Node.Instances) > 1:
		return nil, "there are several: " + strings.Join(s.Node.names(), ", ")
	}
	return &s.Node.Instances[0], ""
}

// database returns what the PostgreSQL that counts says, or why it says nothing.
func (s Sight) database() (*Database, string) {
	i, why := s.Instance()
	if i == nil {
		return nil, why
	}
	return i.Database, i.Problem
}

func (n *Node) names() (names []string) {
	for _, i := range n.Instances {
		names = append(names, i.Name)
	}
	return names
}
