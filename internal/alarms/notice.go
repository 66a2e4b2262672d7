package alarms

import (
	"cmp"
	"slices"
	"time"
)

// Notice is somebody's word that an alarm is known: it stays raised, and counts no more. All
// servers hold the same ones. It travels as JSON between agents and lies in their state
// files; fields are only ever added.
type Notice struct {
	Handle   int       `json:"handle"`
	Name     Name      `json:"name"`
	LIM      int       `json:"lim,omitempty"`
	Server   string    `json:"server,omitempty"`
	Severity Severity  `json:"severity"` // that the alarm had: it counts again when it becomes graver
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Comment  string    `json:"comment,omitempty"`
	Cleared  bool      `json:"cleared,omitempty"` // the alarm is to end, if it tells of something that is over
}

const (
	noticeKept = 24 * time.Hour // that a notice outlives its alarm, for servers that are away
	maxNotices = 40             // at once: they travel in datagrams
	maxComment = 120            // bytes
)

// Past reports whether alarms of a name tell of something that happened and is over, which
// people may clear. All others end when what they tell of does.
func (n Name) Past() bool {
	return slices.Contains([]Name{StateLost, DocumentConflict, NotUnderstood}, n)
}

// NoticeOf is a notice of an alarm.
func NoticeOf(a Alarm, now time.Time, by, comment string) Notice {
	if now.Before(a.RaisedAt) {
		now = a.RaisedAt // by the clock of another server
	}
	return Notice{Handle: a.Handle, Name: a.Name, LIM: a.LIM, Server: a.Server, Severity: a.Severity, At: now.UTC(), By: by, Comment: cutTo(comment, maxComment)}
}

// covers reports whether a notice is about an alarm as it is now.
func (n Notice) covers(a Alarm) bool {
	return n.Handle == a.Handle && Key{n.Name, n.LIM, n.Server} == a.Key() && !a.RaisedAt.After(n.At) && (a.Severity != Critical || n.Severity == Critical)
}

// NoticeFor returns the last notice of an alarm; nil: nobody noticed it as it is now.
func NoticeFor(notices []Notice, a Alarm) *Notice {
	var last *Notice
	for i, n := range notices {
		if n.covers(a) && (last == nil || n.before(*last) < 0) {
			last = &notices[i]
		}
	}
	return last
}

// before puts notices in an order that every server sees alike, the latest first.
func (n Notice) before(m Notice) int {
	return cmp.Or(m.At.Compare(n.At), cmp.Compare(n.Handle, m.Handle), Key{n.Name, n.LIM, n.Server}.compare(Key{m.Name, m.LIM, m.Server}),
		cmp.Compare(n.By, m.By), cmp.Compare(n.Comment, m.Comment))
}

// MergeNotices puts notices of several servers together, the latest first: the last word
// about each alarm, of alarms that are raised and of those that were lately. Raised are the
// alarms of all servers that are seen.
func MergeNotices(now time.Time, raised []Alarm, of ...[]Notice) []Notice {
	all := slices.Concat(of...)
	slices.SortFunc(all, Notice.before)
	var out []Notice
	for _, n := range all {
		same := func(o Notice) bool {
			return o.Handle == n.Handle && Key{o.Name, o.LIM, o.Server} == Key{n.Name, n.LIM, n.Server}
		}
		useful := now.Sub(n.At) < noticeKept || slices.ContainsFunc(raised, n.covers)
		if n.Handle > 0 && n.Handle < maxHandle && useful && len(out) < maxNotices && !slices.ContainsFunc(out, same) {
			n.Comment = cutTo(n.Comment, maxComment)
			out = append(out, n)
		}
	}
	return out
}
