package xdata

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/lineage"
)

// lineageName is the file in the folder of a version that [Store.Backup] made, in which
// it says what it follows. It lies inside, so that a copy of the folder has it, too, but
// belongs neither to its content nor to what is restored.
const lineageName = ".mxcluster-lineage"

// isNote tells whether what lies in a version's own folder is a note about it.
func isNote(name string) bool { return name == lineageName || name == CompleteMarker }

// withoutNotes leaves out what lies in a version's folder and is not part of it.
func withoutNotes(names []string) []string { return slices.DeleteFunc(names, isNote) }

// record is what a version says of itself, and how it came about.
type record struct {
	lineage.Version
	MadeAt  time.Time `json:"madeAt,omitzero"`
	Parents int       `json:"parents,omitempty"` // how many of the ancestors are
}

const maxRecord = 32 << 10 // bytes of a record's file

// encode returns the file of a record: what it says in a line, and the hash of that.
func (r *record) encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sumOf(b)
	return append(hex.AppendEncode(append(b, '\n'), sum[:]), '\n'), nil
}

// decodeRecord reads the file of a record; nil for one that is none.
func decodeRecord(b []byte) *record {
	line, sum, _ := bytes.Cut(b, []byte("\n"))
	is := sumOf(line)
	var r record
	if string(bytes.TrimSpace(sum)) != hex.EncodeToString(is[:]) || json.Unmarshal(line, &r) != nil || r.valid() != nil {
		return nil
	}
	return &r
}

func (r *record) valid() error {
	if r.Parents < 0 || r.Parents > len(r.Ancestors) {
		return violation("a version of %d parents", r.Parents)
	}
	if err := r.Valid(); err != nil {
		return violation("%v", err)
	}
	return nil
}

// readRecord returns what a version says of itself; nil where it says nothing, or what
// cannot be read: it then is as one of another program.
func readRecord(root *os.Root) *record {
	f, err := root.OpenFile(lineageName, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, maxRecord)
	n, err := handle{fd: int(f.Fd()), name: lineageName}.pread(b, 0)
	if err == nil || n == 0 {
		return nil // it is longer, or empty
	}
	return decodeRecord(b[:n])
}

// misfit says that a version is not what it says it was when it was made; nothing where
// it is, or says nothing. It tells damage of a copy of the version, too, beside which
// nothing is noted.
func misfit(root *os.Root, content []byte) (damage []string) {
	if r := readRecord(root); r != nil && r.Made && r.Node.Content != hex.EncodeToString(content) {
		return []string{"its content is not what it was when it was made"}
	}
	return nil
}

// writeRecord puts a record into the folder of a version that is not visible yet, and
// gives the folder its attributes again.
func writeRecord(root *os.Root, r *record, top attributes) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	err = root.WriteFile(lineageName, b, 0o644)
	if errors.Is(err, fs.ErrPermission) { // its mode may forbid that to an ordinary user
		if err = root.Chmod(".", 0o700); err == nil {
			err = root.WriteFile(lineageName, b, 0o644)
		}
	}
	if err != nil {
		return err
	}
	in := folders{root: root}
	defer in.close()
	return top.apply(&in, ".")
}

// describe fills in what a version says of itself, and when it counts as made where
// that does not tell. A time that has not come yet tells nothing.
func (v *Version) describe(r *record, now time.Time) {
	v.line = lineage.Version{Node: lineage.Node{Name: v.Name}}
	if r != nil {
		v.line = r.Version
	}
	if r != nil && r.Made {
		made := r.MadeAt.UTC()
		v.MadeAt = &made
	}
	if r != nil && r.Parents > 0 {
		v.Parent = &r.Ancestors[0].Name
	}
	v.record = r
	limit := nanoseconds(now.Add(MaxSkew))
	times := []int64{nanoseconds(v.NewestMtime), nanoseconds(v.Stamp)}
	if v.line.Made {
		times = append([]int64{v.line.Time}, times...)
	}
	v.line.Time = math.MinInt64
	if i := slices.IndexFunc(times, func(t int64) bool { return t <= limit }); i >= 0 {
		v.line.Time = times[i]
	}
}

// is takes the content of a version for what it is. One that is not what the version
// says is another one's lineage.
func (v *Version) is(content []byte, now time.Time) {
	text := hex.EncodeToString(content)
	if v.line.Made && v.line.Node.Content != text {
		v.MadeAt, v.Parent = nil, nil
		v.describe(nil, now)
	}
	v.line.Node.Content = text
}

// Lineage returns what the version says of itself, for comparing it with others.
func (v *Version) Lineage() lineage.Version { return v.line }

// future tells whether a version has a file from the future: no clock can tell then what
// is newer, so it is not copied.
func (v *Version) future(now time.Time) bool {
	return v.Files > 0 && nanoseconds(v.NewestMtime) > nanoseconds(now.Add(MaxSkew))
}

// sortNewest sorts the versions of one LIM, the newest first; head as with lineage.Newest.
func sortNewest(versions []seen, head *lineage.Version) []seen {
	lines := make([]*lineage.Version, len(versions))
	for i := range versions {
		lines[i] = &versions[i].line
	}
	sorted := make([]seen, 0, len(versions))
	for _, i := range lineage.Newest(lines, head) {
		sorted = append(sorted, versions[i])
	}
	return sorted
}
