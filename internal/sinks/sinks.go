// Package sinks tells people and other programs of alarms: the journal, a program, SNMP
// managers. Each sink is told one thing at a time by a goroutine of its own; whoever has
// something to tell never waits.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"mxcluster/internal/alarms"
)

// The states of a message.
const (
	Raised  = "raised"
	Cleared = "cleared"
	Test    = "test"
)

// Message is what a sink is told, and, as JSON, what a program reads. Fields are only
// ever added.
type Message struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // AlarmMessage
	State      string    `json:"state"`
	Handle     int       `json:"handle"`
	Name       string    `json:"name"`
	Severity   string    `json:"severity"`
	LIM        int       `json:"lim"`    // 0: it is not about one LIM
	Server     string    `json:"server"` // that it is about; "": the whole system
	Text       string    `json:"text"`
	RaisedAt   time.Time `json:"raisedAt"`
	At         time.Time `json:"at"`
	System     string    `json:"system"`
	ToldBy     string    `json:"toldBy"`          // server whose sinks tell it
	Again      bool      `json:"again,omitempty"` // it was told before, and is graver now
}

// apiVersion is the form of a message.
const apiVersion = "mxcluster/v1"

// MessageOf is what is told of an alarm that was raised or cleared.
func MessageOf(c alarms.Change, now time.Time, system, by string) Message {
	m := Message{APIVersion: apiVersion, Kind: "AlarmMessage", State: Cleared, Handle: c.Handle, Name: string(c.Name), Severity: string(c.Severity),
		LIM: c.LIM, Server: c.Server, Text: c.Text, RaisedAt: c.RaisedAt.UTC(), At: now.UTC(), System: system, ToldBy: by, Again: c.Again}
	if c.Raised {
		m.State = Raised
	}
	return m
}

// TestName is the name of the alarm that a test sends.
const TestName = "test"

// TestMessage is what a test sends.
func TestMessage(severity alarms.Severity, now time.Time, system, by, who string) Message {
	text := "this is a test of the alarms' sinks"
	if who != "" {
		text += ", by " + who
	}
	return Message{APIVersion: apiVersion, Kind: "AlarmMessage", State: Test, Name: TestName, Severity: string(severity), Server: by,
		Text: text, RaisedAt: now.UTC(), At: now.UTC(), System: system, ToldBy: by}
}

// Line says a message in one line.
func (m Message) Line() string {
	if m.State == Test {
		return fmt.Sprintf("test of an alarm (%s): %s", m.Severity, m.Text)
	}
	return fmt.Sprintf("alarm %d %s %s (%s): %s", m.Handle, m.Name, m.State, m.Severity, m.Text)
}

// Sink is told of alarms. Tell returns when it has taken the message, or an error; it
// heeds ctx, and is never called twice at a time.
type Sink interface {
	Name() string
	Reach() alarms.Reach
	Tell(ctx context.Context, m Message) error
}

const (
	tellLimit  = 15 * time.Second // of one call of a sink
	maxWaiting = 256              // messages that wait for one sink
	testLimit  = 30 * time.Second // that a test waits for its turn and its end
)

// pauses are those before a message is tried again; then it is lost.
func pauses() []time.Duration { return []time.Duration{2 * time.Second, 20 * time.Second} }

// Info is how a sink is.
type Info struct {
	Name    string `json:"name"`
	Told    uint64 `json:"told"` // messages that it took since the agent started
	Failed  uint64 `json:"failed"`
	Lost    uint64 `json:"lost"` // that it was not told
	Waiting int    `json:"waiting"`
	Error   string `json:"error,omitempty"` // of the last call; "": it went well
}

// Set is all sinks of one server.
type Set struct {
	queues []*queue
}

// New returns a set of sinks, which tell nothing before Run. Changed is called, from a
// goroutine of the set, when Waiting has changed.
func New(log *slog.Logger, changed func(), sinks ...Sink) *Set {
	s := &Set{}
	for _, sink := range sinks {
		s.queues = append(s.queues, &queue{sink: sink, log: log.With("sink", sink.Name()), changed: changed, wake: make(chan struct{}, 1)})
	}
	return s
}

// Reach is that of the sink that reaches the farthest.
func (s *Set) Reach() alarms.Reach {
	reach := alarms.Nobody
	for _, q := range s.queues {
		reach = max(reach, q.sink.Reach())
	}
	return reach
}

// Run tells what is put in until ctx ends. What waits then stays so.
func (s *Set) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, q := range s.queues {
		running.Go(func() { q.run(ctx) })
	}
	running.Wait()
}

// Put hands a message to every sink; it never waits. The end of an alarm whose beginning
// nobody was told yet takes that away, and is not told either.
func (s *Set) Put(m Message) {
	for _, q := range s.queues {
		q.put(m)
	}
}

// Waiting is what each sink was not told yet, for the next run of the agent.
func (s *Set) Waiting() map[string][]Message {
	out := map[string][]Message{}
	for _, q := range s.queues {
		if waiting := q.messages(); len(waiting) > 0 {
			out[q.sink.Name()] = waiting
		}
	}
	return out
}

// Restore puts in, before Run, what a former run had not told, whose first message the sink
// may have been told of. What waited for a sink that is no more is forgotten.
func (s *Set) Restore(waiting map[string][]Message) {
	for _, q := range s.queues {
		for _, m := range waiting[q.sink.Name()] {
			q.put(m)
			q.next()
		}
	}
}

// Infos is how the sinks are.
func (s *Set) Infos() []Info {
	out := make([]Info, 0, len(s.queues))
	for _, q := range s.queues {
		out = append(out, q.info())
	}
	return out
}

// Result is what came of a test at one sink.
type Result struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"` // "": it took the message
}

// Test tells every sink a message and waits for what each says.
func (s *Set) Test(ctx context.Context, m Message) []Result {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, testLimit)
	defer cancel()
	answers := make([]chan error, len(s.queues))
	for i, q := range s.queues {
		answers[i] = make(chan error, 1)
		q.test(m, answers[i])
	}
	out := make([]Result, len(s.queues))
	for i, q := range s.queues {
		out[i].Name = q.sink.Name()
		var err error
		select {
		case err = <-answers[i]:
		case <-ctx.Done():
			err = fmt.Errorf("it has not answered within %s; %d messages wait for it", time.Since(began).Round(time.Second), q.info().Waiting)
			q.forget(answers[i])
		}
		if err != nil {
			out[i].Error = err.Error()
		}
	}
	return out
}

// queue is what one sink is to be told, in order.
type queue struct {
	sink    Sink
	log     *slog.Logger
	changed func()
	wake    chan struct{}

	mu      sync.Mutex
	waiting []*item
	state   Info
}

// item is one message that waits.
type item struct {
	Message
	tried  bool       // the sink may have been told of it already
	answer chan error // of a test; nil: it is none
}

func (q *queue) put(m Message) {
	q.mu.Lock()
	untold := false // nobody knows of it yet
	q.waiting = slices.DeleteFunc(q.waiting, func(i *item) bool {
		fresh := i.answer == nil && !i.tried && i.State == Raised && i.Handle == m.Handle && i.Name == m.Name
		untold = untold || fresh && !i.Again
		return fresh
	})
	if m.Again = m.Again && !untold; m.State == Raised || !untold {
		q.waiting = append(q.waiting, &item{Message: m})
	}
	lost := q.trim()
	q.mu.Unlock()
	if lost > 0 {
		q.log.Error("messages are lost: too many wait for the sink", "lost", lost)
	}
	q.wakeUp()
}

// trim forgets the oldest messages that nobody works on, where too many wait.
func (q *queue) trim() (lost int) {
	for i := 0; i < len(q.waiting) && len(q.waiting) > maxWaiting; {
		if x := q.waiting[i]; x.tried || x.answer != nil {
			i++
			continue
		}
		q.waiting = slices.Delete(q.waiting, i, i+1)
		lost++
		q.state.Lost++
	}
	return lost
}

func (q *queue) test(m Message, answer chan error) {
	q.mu.Lock()
	q.waiting = append(q.waiting, &item{Message: m, answer: answer})
	q.mu.Unlock()
	q.wakeUp()
}

// forget takes a test off the queue for whose answer nobody waits any more.
func (q *queue) forget(answer chan error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(i *item) bool { return i.answer == answer && !i.tried })
}

func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) messages() []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Message
	for _, i := range q.waiting {
		if i.answer == nil {
			out = append(out, i.Message)
		}
	}
	return out
}

func (q *queue) info() Info {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.state
	out.Name, out.Waiting = q.sink.Name(), len(q.waiting)
	return out
}

// next returns what is to be told now; nil: nothing.
func (q *queue) next() *item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil
	}
	q.waiting[0].tried = true
	return q.waiting[0]
}

func (q *queue) run(ctx context.Context) {
	for {
		i := q.next()
		if i == nil {
			select {
			case <-ctx.Done():
				return
			case <-q.wake:
			}
			continue
		}
		err := q.tell(ctx, i)
		if ctx.Err() != nil {
			return
		}
		q.done(i, err)
		q.changed()
	}
}

// tell tells one message, and tries it again where that makes sense.
func (q *queue) tell(ctx context.Context, i *item) error {
	for _, pause := range append(pauses(), 0) {
		err := q.once(ctx, i.Message)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if i.answer != nil || pause == 0 {
			return err
		}
		q.log.Warn("a sink did not take an alarm; it is tried again", "alarm", i.Line(), "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

func (q *queue) once(ctx context.Context, m Message) error {
	limited, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	err := q.sink.Tell(limited, m)
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it did not end within %s: %w", tellLimit, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state.Error = ""; err != nil {
		q.state.Failed++
		q.state.Error = err.Error()
	} else {
		q.state.Told++
	}
	return err
}

// done takes what was told, or is lost, off the queue.
func (q *queue) done(i *item, err error) {
	q.mu.Lock()
	q.waiting = slices.DeleteFunc(q.waiting, func(x *item) bool { return x == i })
	if err != nil && i.answer == nil {
		q.state.Lost++
	}
	q.mu.Unlock()
	if i.answer != nil {
		if err != nil {
			q.log.Warn("a sink did not take a test", "err", err)
		}
		i.answer <- err
		return
	}
	if err != nil {
		q.log.Error("an alarm is lost: the sink does not take it", "alarm", i.Line(), "err", err)
	}
}
