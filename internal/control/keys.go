package control

import (
	"fmt"
	"strings"
	"time"
)

// KeyRequest asks for a rotation of the gossip key.
type KeyRequest struct {
	DryRun bool   `json:"dryRun,omitempty"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// KeyStage says how far a rotation of the gossip key is.
type KeyStage string

// The stages of a rotation, in order.
const (
	KeysSpreading KeyStage = "spreading" // not every server accepts the new key
	KeysSwitching KeyStage = "switching" // not every server uses it
	KeysEnding    KeyStage = "ending"    // not every server has given the former one up
	KeysSettled   KeyStage = "settled"   // there is no rotation
	KeysUnknown   KeyStage = "unknown"   // no agent was asked, or it has not heard the others yet
)

// KeyInfo says which server has which gossip key, by fingerprints; the keys
// themselves are in no answer.
type KeyInfo struct {
	Server  string       `json:"server"` // that answers
	Stage   KeyStage     `json:"stage"`
	Target  string       `json:"target"` // newest key: the one that every server ends with
	Keys    []KeyState   `json:"keys"`   // accepted by the server that answers, the one it uses first
	Servers []ServerKeys `json:"servers"`

	Begun bool `json:"begun,omitempty"` // by the request that this answers; a dry run: would be
}

// KeyState is one gossip key.
type KeyState struct {
	Fingerprint string     `json:"fingerprint"`
	Made        *time.Time `json:"made"` // null: it is the first one of the system
}

// NewKeyState describes a key; the zero time is that of a system's first one.
func NewKeyState(fingerprint string, made time.Time) KeyState {
	if made.IsZero() {
		return KeyState{Fingerprint: fingerprint}
	}
	return KeyState{Fingerprint: fingerprint, Made: &made}
}

// ServerKeys are the gossip keys of one server, as it said last.
type ServerKeys struct {
	Server    string   `json:"server"`
	Reachable bool     `json:"reachable"`
	Primary   string   `json:"primary"`  // key that it encrypts with; "": it said nothing
	Accepted  []string `json:"accepted"` // all its keys
	Failed    string   `json:"failed,omitempty"`
	Behind    string   `json:"behind,omitempty"` // why the rotation waits for it
}

// Waiting names the servers that a rotation waits for, and why; "" for none.
func (k *KeyInfo) Waiting() string {
	var out []string
	for _, s := range k.Servers {
		if s.Behind != "" {
			out = append(out, fmt.Sprintf("%s (%s)", s.Server, s.Behind))
		}
	}
	return strings.Join(out, ", ")
}
