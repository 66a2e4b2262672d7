package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
	"mxcluster/internal/safepath"
	"mxcluster/internal/sinks"
	"mxcluster/netops"
)

// stateVersion is the version of the state file's format. A state of a later one is read for what is
// known, so a key never changes its meaning, and the keys of the version before are always written.
const stateVersion = 1

// persisted is the state that must outlive the process. Terms are part of it, as a term must never
// be used twice.
type persisted struct {
	Version int                  `json:"version"`
	Number  uint64               `json:"number,omitempty"` // sequence number of the state
	Boot    string               `json:"boot,omitempty"`   // boot ID of the server when it was saved
	LIMs    map[int]persistedLIM `json:"lims"`
	Seen    map[string]time.Time `json:"seen,omitempty"` // when each server was last known to be alive

	Alarms       alarms.State        `json:"alarms,omitzero"`
	Conflict     uint64              `json:"conflict,omitempty"`     // revision of a document that superseded a conflicting one
	Self         clusterconf.Server  `json:"self,omitzero"`          // this server's last entry in the document
	ConflictText string              `json:"conflictText,omitempty"` // the text about the conflict
	Unread       unreadDocument      `json:"unread,omitzero"`        // document of another server that could not be read
	Accepted     failover.Acceptance `json:"accepted,omitzero"`      // last accepted epoch of the document
	Rehearsing   int                 `json:"rehearsing,omitempty"`   // LIM whose software may be present on trial: it is ended, not adopted
	Rehearsals   map[int]rehearsed   `json:"rehearsals,omitempty"`   // by LIM
	Former       netip.Prefix        `json:"former,omitzero"`        // base of this server that is to be removed, unless it is the base again
	Readied      []netip.Prefix      `json:"readied,omitempty"`      // bases that were added for a coming document

	Untold map[string][]sinks.Message `json:"untold,omitempty"` // by sink: messages that were not delivered yet

	Formers map[string][]netip.Addr `json:"formers,omitempty"` // by server: peer.formers

	Programs map[string]levels.Program `json:"programs,omitempty"` // by server: peer.program

	unknown []string // when it was read: places of what this version does not know, and does not write again
}

// persistedLIM is the state of a LIM on this server.
type persistedLIM struct {
	Term   uint64         `json:"term"` // under which it runs or last ran here
	Active bool           `json:"active"`
	Loaded bool           `json:"loaded,omitempty"` // its software may be up though it is not active
	Since  time.Time      `json:"since,omitzero"`
	Up     []string       `json:"up,omitempty"` // its services that may be up
	Known  failover.Place `json:"known"`

	Flaps     failover.Flaps      `json:"flaps,omitzero"`
	Suspended failover.Suspension `json:"suspended,omitzero"`

	TookToStart time.Duration `json:"tookToStart,omitempty"` // lim.tookToStart

	Serving time.Time       `json:"serving,omitzero"` // as in lim, likewise the next three
	Cause   *failover.Cause `json:"cause,omitempty"`
	Left    *failover.Cause `json:"left,omitempty"`
	Split   *failover.Split `json:"split,omitempty"`

	Routes []netops.Route `json:"routes,omitempty"` // moved to the base address
}

// saver saves states in order, from the main loop and from beside it.
type saver struct {
	file StateFile
	turn semaphore
	last uint64 // number of the last saved state
}

// save makes a state durable, unless a later one is.
func (s *saver) save(number uint64, p persisted) error {
	s.turn.acquire()
	defer s.turn.release()
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
	Keep(persisted) error // when it returns, at once, the state outlives the process
	Save(persisted) error // when it returns, after the disk, the state outlives a loss of power
}

// DiskState stores the state of a server; see [StateFile].
type DiskState struct {
	Path string // file on a disk
	Kept string // file in memory, lost at a reboot
	Boot string // ID of this boot; "": unknown, and Kept is not used
}

// Load reads the state; an empty one before the first run. Of the two files, the later state of
// this boot counts, since each is used while the other cannot be written. The error says what could
// not be read, so that something may be missing; the rest is returned.
func (d DiskState) Load() (persisted, error) {
	kept, keptErr := loadState(d.Kept)
	saved, err := loadState(d.Path)
	if d.Boot != "" && kept.Boot == d.Boot && kept.Number >= saved.Number {
		return kept, keptErr
	}
	return saved, errors.Join(err, keptErr)
}

// maxState is the largest size of a state file in bytes; a larger one is damaged.
const maxState = 16 << 20

// loadState reads one state file as far as it can be read. One of which something cannot is kept
// aside, for inspection.
func loadState(path string) (persisted, error) {
	raw, err := readState(path)
	if errors.Is(err, fs.ErrNotExist) {
		return emptyState(), nil
	}
	if err != nil {
		return emptyState(), fmt.Errorf("reading the agent's state: %w", err)
	}
	p, err := decodeState(raw)
	if err == nil {
		return p, nil
	}
	aside := path + ".damaged"
	_ = os.Remove(aside)
	if os.Link(path, aside) == nil {
		path = aside // the next save writes the original name
	}
	return p, fmt.Errorf("the agent's state %s cannot be read (version %d): %w", path, p.Version, err)
}

func emptyState() persisted {
	return persisted{Version: stateVersion, LIMs: map[int]persistedLIM{}}
}

// decodeState reads a state key by key: what cannot be read, or is not known, costs no other key.
func decodeState(raw []byte) (persisted, error) {
	p := emptyState()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return p, err
	}
	lims := all["lims"]
	delete(all, "lims")
	p.Version = 0
	unknown, err := decodeKeys(all, "", &p)
	if p.Version < 1 {
		err = errors.Join(errors.New("it has no version"), err)
	}
	p.unknown = unknown
	if p.LIMs == nil {
		p.LIMs = map[int]persistedLIM{}
	}
	if lims != nil {
		err = errors.Join(err, p.decodeLIMs(lims))
	}
	return p, err
}

func (p *persisted) decodeLIMs(raw []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return fmt.Errorf("lims: %w", err)
	}
	var failed error
	for _, key := range slices.Sorted(maps.Keys(all)) {
		at := "lims." + key
		n, err := strconv.Atoi(key)
		var keys map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(all[key], &keys)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", at, err))
			continue
		}
		var l persistedLIM
		unknown, err := decodeKeys(keys, at+".", &l)
		p.LIMs[n], p.unknown, failed = l, append(p.unknown, unknown...), errors.Join(failed, err)
	}
	return failed
}

// decodeKeys reads the values of a JSON object into v, one by one. It returns the places of unknown
// keys, and errors about values that cannot be read, which v then lacks.
func decodeKeys[T any](all map[string]json.RawMessage, at string, v *T) (unknown []string, failed error) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		one, err := json.Marshal(map[string]json.RawMessage{key: all[key]})
		if err == nil {
			err = json.Unmarshal(one, new(T)) // what fails halfway leaves nothing in v
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s%s: %w", at, key, err))
			continue
		}
		strict := json.NewDecoder(bytes.NewReader(one))
		strict.DisallowUnknownFields()
		if err := strict.Decode(v); err != nil {
			unknown = append(unknown, at+key)
			_ = json.Unmarshal(one, v) // as above
		}
	}
	return unknown, failed
}

// readState reads a file that may have any content.
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

// Keep replaces the state that outlives the process. It does not wait for a disk.
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
		_ = os.Remove(next) // the folder is short of room
		return fmt.Errorf("keeping the agent's state in %s: %w", d.Kept, cause(err))
	}
	return nil
}

// cause returns a file's error without the temporary name.
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

// Save replaces the state on the disk, durably.
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

// semaphore is a mutex that may be held while a disk or the kernel works. It is a channel, since
// testing/synctest lets virtual time pass while a goroutine waits for one.
type semaphore chan struct{}

func newSemaphore() semaphore { return make(semaphore, 1) }

func (t semaphore) acquire() { t <- struct{}{} }
func (t semaphore) release() { <-t }
