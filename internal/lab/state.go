package lab

import "time"

// Fault is a way in which a server of the lab fails.
type Fault string

// The faults.
const (
	FaultPower   Fault = "power"   // all processes end at once
	FaultCable   Fault = "cable"   // nothing is sent or received
	FaultAgent   Fault = "agent"   // the agent is killed
	FaultService Fault = "service" // LIM software ends, and does not start
	FaultFreeze  Fault = "freeze"  // all processes stand still, and the kernel goes on
)

// Faults returns all of them.
func Faults() []Fault {
	return []Fault{FaultPower, FaultCable, FaultAgent, FaultService, FaultFreeze}
}

// UpOptions are for a lab that stays up.
type UpOptions struct {
	Dir       string // lab folder
	LIMs      int    // number of LIMs, from 1 to MaxLIMs
	Preloaded bool   // the LIM is loaded on the standby, too
}

// MaxLIMs is the most LIMs that a lab has, as a cluster does.
const MaxLIMs = 10

// State is what a lab that is up looks like from outside.
type State struct {
	Dir       string        `json:"dir"`
	Preloaded bool          `json:"preloaded"`
	Servers   []ServerState `json:"servers"`
	LIMs      []LIMState    `json:"lims"`
}

// ServerState is one server of a State.
type ServerState struct {
	Name   string  `json:"name"`
	Base   string  `json:"base"`
	Power  bool    `json:"power"`
	Agent  bool    `json:"agent"` // its process is there
	Faults []Fault `json:"faults"`
}

// LIMState is one LIM of a State: what the agents say of it, and what its client sees.
type LIMState struct {
	LIM      int     `json:"lim"`
	Regular  string  `json:"regular"`
	Alias    string  `json:"alias"`
	ActiveOn *string `json:"activeOn"` // nil: nowhere, or nobody says where
	State    string  `json:"state"`

	AnsweredBy *string  `json:"answeredBy"` // server that answered the client last
	SilentMs   *int64   `json:"silentMs"`   // since the last answer
	Silence    *Silence `json:"silence"`    // the last one that was over
}

// Silence is a time without answers.
type Silence struct {
	Ms   int64     `json:"ms"`
	At   time.Time `json:"at"`   // when it was over
	From string    `json:"from"` // server that had answered before
	To   string    `json:"to"`   // server that answered then
}
