package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/safepath"
	"mxcluster/internal/sinks"
	"mxcluster/netops"
)

// stateVersion is the form of the state file.
const stateVersion = 1

// persisted is what must outlive the process: terms above all, for a term may
// never be given out twice.
type persisted struct {
	Version int                  `json:"version"`
	Number  uint64               `json:"number,omitempty"` // higher than that of every state taken before
	Boot    string               `json:"boot,omitempty"`   // of the server when it was saved
	LIMs    map[int]persistedLIM `json:"lims"`
	Seen    map[string]time.Time `json:"seen,omitempty"` // when each server was last known alive

	Alarms       alarms.State        `json:"alarms,omitzero"`
	Conflict     uint64              `json:"conflict,omitempty"`     // revision of the document of which there were two
	Self         clusterconf.Server  `json:"self,omitzero"`          // this server as the document last had it
	ConflictText string              `json:"conflictText,omitempty"` // what is told of that
	Accepted     failover.Acceptance `json:"accepted,omitzero"`      // of an epoch of the document, the last one
	Rehearsing   int                 `json:"rehearsing,omitempty"`   // LIM whose software may be here on trial: it is ended, not taken for the LIM
	Rehearsals   map[int]rehearsed   `json:"rehearsals,omitempty"`   // by LIM
	Former       netip.Prefix        `json:"former,omitzero"`        // base of this server that is to go, if it is not its base again
	Readied      []netip.Prefix      `json:"readied,omitempty"`      // bases that were added for a coming document

	Untold map[string][]sinks.Message `json:"untold,omitempty"` // what each sink was not told yet

	Formers map[string][]netip.Addr `json:"formers,omitempty"` // of each other server, as peer.formers
}

// persistedLIM is a LIM as it was on this server.
type persistedLIM struct {
	Term   uint64         `json:"term"` // under which it runs or last ran here
	Active bool           `json:"active"`
	Loaded bool           `json:"loaded,omitempty"` // its software may be up, though it is not active
	Since  time.Time      `json:"since,omitzero"`
	Up     []string       `json:"up,omitempty"` // SPECs of its services that may be up
	Known  failover.Place `json:"known"`

	Flaps     failover.Flaps      `json:"flaps,omitzero"`
	Suspended failover.Suspension `json:"suspended,omitzero"`

	TookToStart time.Duration `json:"tookToStart,omitempty"` // as lim.tookToStart

	Routes []netops.Route `json:"routes,omitempty"` // that were carried over to the base address
}

// saver saves the state in the order in which it was taken, from the main loop
// and from beside it.
type saver struct {
	file StateFile
	turn turn
	last uint64 // number of the state that is saved
}

// save makes a state durable, unless a later one is.
func (s *saver) save(number uint64, p persisted) error {
	s.turn.take()
	defer s.turn.giveBack()
	if number <= s.last {
		return nil
	}
	if err := s.file.Save(p); err != nil {
		return err
	}
	s.last = number
	return nil
}

// StateFile keeps the agent's state across its runs.
type StateFile interface {
	Load() (persisted, error)
	Keep(persisted) error // outlives the process when it returns, at once
	Save(persisted) error // outlives the server's power too when it returns, as fast as the disk
}

// DiskState is the state on a server; see [StateFile].
type DiskState struct {
	Path string // on a disk
	Kept string // in memory, at best, and gone after the boot
	Boot string // identity of this boot; "": not known, then nothing counts as kept
}

// Load reads the state; there is none before the first run. Of what was kept in this
// boot and what was saved the later one counts: each place serves where the other took
// nothing. The error says what could not be read, so that something may be missing.
func (d DiskState) Load() (persisted, error) {
	kept, keptErr := loadState(d.Kept)
	saved, err := loadState(d.Path)
	if keptErr == nil && d.Boot != "" && kept.Boot == d.Boot && kept.Number >= saved.Number {
		return kept, nil
	}
	return saved, errors.Join(err, keptErr)
}

// maxState bounds a state file in bytes; a longer one is damage.
const maxState = 16 << 20

// loadState reads one state file. One that makes no sense stays there under another
// name, for people to look at.
func loadState(path string) (persisted, error) {
	empty := persisted{Version: stateVersion, LIMs: map[int]persistedLIM{}}
	raw, err := readState(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("reading the agent's state: %w", err)
	}
	var p persisted
	if err := json.Unmarshal(raw, &p); err != nil || p.Version != stateVersion {
		if err == nil {
			err = errors.New("another version of mxcluster wrote it")
		}
		aside := path + ".damaged"
		_ = os.Remove(aside)
		if os.Link(path, aside) == nil {
			path = aside // the next save replaces it under its own name
		}
		return empty, fmt.Errorf("the agent's state %s cannot be read (version %d): %w", path, p.Version, err)
	}
	if p.LIMs == nil {
		p.LIMs = empty.LIMs
	}
	return p, nil
}

// readState reads a file that may be anything by now.
func readState(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Size() > maxState:
		return nil, fmt.Errorf("%s is too long", path)
	}
	return io.ReadAll(io.LimitReader(f, maxState))
}

// Keep replaces the state that outlives the process. Nothing waits for a disk.
func (d DiskState) Keep(p persisted) error {
	raw, err := encodeState(p)
	if err != nil {
		return err
	}
	next := d.Kept + ".new"
	err = os.WriteFile(next, raw, 0o600)
	if err == nil {
		err = os.Rename(next, d.Kept)
	}
	if err != nil {
		_ = os.Remove(next) // a part of it, in a place that is short of room
		return fmt.Errorf("keeping the agent's state in %s: %w", d.Kept, cause(err))
	}
	return nil
}

// cause is what went wrong with a file, without the name that it had for the moment.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

func encodeState(p persisted) ([]byte, error) {
	raw, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding the agent's state: %w", err)
	}
	return raw, nil
}

// Save replaces the state on the disk and makes it durable before it returns.
func (d DiskState) Save(p persisted) error {
	raw, err := encodeState(p)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(d.Path, raw, 0o600); err != nil {
		return fmt.Errorf("writing the agent's state to %s: %w", d.Path, cause(err))
	}
	if err := safepath.SyncDir(filepath.Dir(d.Path)); err != nil {
		return fmt.Errorf("making the agent's state durable: %w", err)
	}
	return nil
}

// turn is a lock that may be held while a disk or a kernel takes its time. It is
// a channel because waiting at one is seen by testing/synctest, which can then
// let the time pass that it takes.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take()     { t <- struct{}{} }
func (t turn) giveBack() { <-t }
