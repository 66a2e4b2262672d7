package manager

import (
	"slices"
)

// StepID names one step of setting the redundancy up.
type StepID string

// The steps, in the order in which they may be done. Each tells by what is seen whether it is
// done already: nothing is remembered, so that a set-up that was killed anywhere goes on.
const (
	StepSecret    StepID = "secret"    // the replication role's password is in a file of this server, 0600
	StepSettings  StepID = "settings"  // the settings file of ours says what it should
	StepRestart   StepID = "restart"   // PostgreSQL runs by these settings
	StepAccess    StepID = "access"    // the peer's base may log in as the replication role, nobody else by it
	StepRole      StepID = "role"      // the replication role is there, with SCRAM and what pg_rewind needs
	StepSlot      StepID = "slot"      // the log is kept for the peer, up to a bound
	StepLogin     StepID = "login"     // the password is accepted by the master
	StepClone     StepID = "clone"     // the data are a copy of the master's
	StepFollow    StepID = "follow"    // PostgreSQL starts read-only and receives
	StepStreaming StepID = "streaming" // both sides were seen to stream
	StepSync      StepID = "sync"      // commits wait for the peer
	StepAddress   StepID = "address"   // the virtual address is in the document
	StepSignal    StepID = "signal"    // whoever starts PostgreSQL starts it read-only: the agent decides
)

// Step is one step that is left to do.
type Step struct {
	ID    StepID
	On    Role
	Needs []StepID // of the same plan, which come before
}

// Words say what a step does.
func (s Step) Words() string {
	switch s.ID {
	case StepSecret:
		return "the password of the replication role is stored for root and PostgreSQL alone"
	case StepSettings:
		return "PostgreSQL is configured"
	case StepRestart:
		return "PostgreSQL is restarted"
	case StepAccess:
		return "the other server is let in"
	case StepRole:
		return "the replication role is made"
	case StepSlot:
		return "the log is kept for the other server"
	case StepLogin:
		return "the master is asked"
	case StepClone:
		return "the data of the master are copied"
	case StepFollow:
		return "PostgreSQL is started read-only"
	case StepStreaming:
		return "both servers are seen to stream"
	case StepSync:
		return "commits wait for the other server"
	case StepAddress:
		return "the virtual address is put into the cluster document"
	case StepSignal:
		return "PostgreSQL starts read-only from now on, until the agent has it accept writes"
	}
	return string(s.ID)
}

// Prepared is what of the redundancy was seen to be there on one server.
type Prepared struct {
	Secret, Settings, InForce, Access, Role, Slot bool
	Login                                         bool // on the standby: the master takes the password
	Copy                                          bool // on the standby: the data have the master's history
	Foreign                                       bool // on the standby: databases that are no copy of the master's
	Writes                                        bool // it accepts writes
	Running                                       bool
	Streaming                                     bool // as both sides see it
	Sync                                          bool // on the master: commits wait for the peer
	Address                                       bool // the document has the virtual address
	Signal                                        bool // PostgreSQL starts read-only
}

// Wish is what somebody wants to be set up.
type Wish struct {
	Role        Role // of the server that the command runs on
	Synchronous bool
}

// Plan returns what is left to do on the server of the wish, in order. The master is set up
// first; what the standby needs of it and does not see is the first step that it cannot take.
// Foreign data are never planned to be replaced: Check refuses them before.
func Plan(w Wish, master, standby Prepared) []Step {
	var left []Step
	add := func(done bool, id StepID, needs ...StepID) {
		if done {
			return
		}
		needs = slices.DeleteFunc(needs, func(n StepID) bool { return !slices.ContainsFunc(left, func(s Step) bool { return s.ID == n }) })
		left = append(left, Step{ID: id, On: w.Role, Needs: needs})
	}
	if w.Role == Master {
		add(master.Secret, StepSecret)
		add(master.Settings, StepSettings, StepSecret)
		add(master.InForce && master.Settings, StepRestart, StepSettings)
		add(master.Role, StepRole, StepSecret)
		add(master.Access, StepAccess, StepRole)
		add(master.Slot, StepSlot, StepRestart)
		add(master.Address, StepAddress)
		add(master.Signal, StepSignal, StepAddress) // until then nobody would have it accept writes again
		// Before the peer was seen to stream, a commit would wait for nobody.
		if w.Synchronous && master.Streaming {
			add(master.Sync, StepSync)
		}
		return left
	}
	if standby.Foreign {
		return nil
	}
	add(standby.Secret, StepSecret)
	add(standby.Login, StepLogin, StepSecret)
	add(standby.Settings, StepSettings, StepSecret)
	add(standby.Access, StepAccess)
	add(standby.Copy, StepClone, StepLogin, StepSettings)
	add(standby.Copy && standby.Running && !standby.Writes && standby.InForce, StepFollow, StepClone, StepSettings)
	add(standby.Streaming, StepStreaming, StepFollow)
	return left
}
