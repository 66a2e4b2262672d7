// Package control is the agent's Unix socket: HTTP with JSON bodies, callers
// told apart by their peer credentials. The server side serves a Backend; the
// client side is what commands, the lab and the tests share.
//
//	GET  /v1/status            status.ClusterStatus
//	GET  /v1/agent             AgentInfo
//	GET  /v1/events?q=Query    events.List; Query is JSON
//	GET  /v1/simulate?q=…      whatif.Result; q is a whatif.Scenario as JSON
//	POST /v1/order             Order -> OrderResult
//	POST /v1/exchange          ExchangeRequest -> {}
//	POST /v1/edit              EditRequest -> EditResult
//	GET  /v1/keys              KeyInfo
//	GET  /v1/alarms            status.AlarmList
//	POST /v1/alarms/notice     NoticeRequest -> NoticeResult
//	POST /v1/alarms/test       TestRequest -> TestResult
//	POST /v1/keys/rotate       KeyRequest -> KeyInfo
//	POST /v1/stop              StopRequest -> StopResult
//	POST /v1/reload            read the document and the gossip keys again
//	POST /v1/data              look at the data versions here
//
// Reading is open to every local user, changing to root and to the agent's own
// user. An error is {"error":{"code":3,"message":"…","hint":"…"}}.
package control

import (
	"context"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

// OrderKind says what an order asks for.
type OrderKind = failover.Kind

// The orders.
const (
	OrderFallback = failover.Fallback // from the standby to the regular server
	OrderFailover = failover.Failover // from the regular server to the standby, planned

	OrderManagement OrderKind = "management-fallback" // of the management system, to the server of LIM 1; given there

	OrderRehearse OrderKind = "rehearse" // started on the standby on trial, where nobody sees it
)

// Order asks for a LIM to be moved.
type Order struct {
	Kind   OrderKind `json:"kind"`
	LIM    int       `json:"lim"`
	Now    bool      `json:"now,omitempty"` // do not wait for the target to be ready
	DryRun bool      `json:"dryRun,omitempty"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`

	// Dead, of a failover, is the LIM's regular server, which is said to be dead: the
	// standby takes the LIM over although it cannot tell itself; "": it gives the LIM up.
	Dead  string `json:"serverIsDead,omitempty"`
	Evict int    `json:"evict,omitempty"` // the LIM that may be stopped on the standby for it; 0: none

	// DrainCalls is how long the LIM's software has to let its calls end before it is moved;
	// 0: it is not asked. Whoever gives such an order waits for that: where it does not any
	// more, nothing is moved.
	DrainCalls time.Duration `json:"drainCallsNs,omitempty"`
}

// MaxDrain is how long calls may be drained at most.
const MaxDrain = 24 * time.Hour

// OrderResult says what became of an order when it was handed in.
type OrderResult struct {
	Accepted bool   `json:"accepted"`
	Already  bool   `json:"already,omitempty"` // the LIM was there before
	Target   string `json:"target"`            // server where the LIM will run
	Text     string `json:"text"`
	Evicts   int    `json:"evicts,omitempty"` // the LIM that is, or would be, stopped there for it; 0: none
	Drains   string `json:"drains,omitempty"` // what was, or would be, called before that to let calls end; "": nothing
}

// ExchangeRequest has the servers concerned make ready for an exchange of their
// addresses, or undo that. What is made ready and not followed by the document
// is undone by itself after a minute.
type ExchangeRequest struct {
	Exchanges []clusterconf.Exchange `json:"exchanges"`
	Undo      bool                   `json:"undo,omitempty"`
	Leave     *LeaveRequest          `json:"leave,omitempty"` // nil: no LIM is to leave its cluster
}

// LeaveRequest asks whether LIMs may leave their cluster now.
type LeaveRequest struct {
	Cluster string `json:"cluster"`
	LIMs    []int  `json:"lims,omitempty"`         // none: all of the cluster
	Dead    string `json:"serverIsDead,omitempty"` // a server that is lost for good; "": none is
}

// EditRequest asks for an edit of the cluster document where edits are carried out.
type EditRequest struct {
	Base     string             `json:"base"`     // hash of the document that it was edited from; another one by now: fault.Busy
	Document []byte             `json:"document"` // YAML; its servers, LIMs and clusters count
	Change   clusterconf.Change `json:"change"`
}

// EditResult says what became of an edit.
type EditResult struct {
	Server   string `json:"server"`   // that carried it out
	Document []byte `json:"document"` // YAML, as it is stored
}

// EditPlace says where edits of the cluster document are carried out.
type EditPlace struct {
	Server string `json:"server"`         // "": nowhere now
	Others bool   `json:"others"`         // others must agree, or be heard: the agents carry it out, not this server's commands
	Why    string `json:"why,omitempty"`  // why nowhere
	Hint   string `json:"hint,omitempty"` // the remedy
}

// NoticeRequest says of an alarm that it is known, or has it end.
type NoticeRequest struct {
	Handle  int    `json:"handle"`
	By      string `json:"by"`
	Comment string `json:"comment,omitempty"`
	Clear   bool   `json:"clear,omitempty"` // it tells of something that is over
	DryRun  bool   `json:"dryRun,omitempty"`
}

// NoticeResult is the alarm that was meant.
type NoticeResult struct {
	Alarm   status.Alarm `json:"alarm"`
	Already bool         `json:"already,omitempty"` // it was noticed before, with that comment
}

// TestRequest has a test alarm told to every sink of this server.
type TestRequest struct {
	Severity string `json:"severity"` // warning or critical
	By       string `json:"by"`
}

// TestResult says what each sink did.
type TestResult struct {
	Sinks []SinkResult `json:"sinks"` // none: none is set
}

// SinkResult is what came of a test at one sink.
type SinkResult struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"` // "": it took the message
}

// SinkInfo is how a sink of alarms is.
type SinkInfo struct {
	Name    string `json:"name"`
	Told    uint64 `json:"told"`   // messages that it took since the agent started
	Failed  uint64 `json:"failed"` // calls that went wrong
	Lost    uint64 `json:"lost"`   // messages that it did not take, and that are given up
	Waiting int    `json:"waiting"`
	Error   string `json:"error,omitempty"` // of the last call; "": it went well
}

// Takeovers counts what a server took over from one that failed, since its agent started.
type Takeovers struct {
	Count   uint64           `json:"count"`
	SumMs   int64            `json:"sumMs"` // from the decision until the LIM ran, all together
	Buckets []TakeoverBucket `json:"buckets"`
}

// TakeoverBucket counts those that took no longer than that.
type TakeoverBucket struct {
	UpToMs int64  `json:"upToMs"`
	Count  uint64 `json:"count"`
}

// StopRequest ends the agent.
type StopRequest struct {
	Release bool `json:"release"` // give the LIMs up, so that another server takes them over at once
}

// StopResult says what the agent leaves behind.
type StopResult struct {
	LIMsLeftRunning []int         `json:"limsLeftRunning"`
	Locked          []int         `json:"locked"`  // of those, the ones that a lock kept from being given up
	Lease           time.Duration `json:"leaseNs"` // how long their aliases stay without an agent
	PID             int           `json:"pid"`     // process to wait for
}

// AgentInfo is the answer of `agent status`.
type AgentInfo struct {
	Server    string        `json:"server"`
	PID       int           `json:"pid"`
	Version   string        `json:"version"`
	StartedAt time.Time     `json:"startedAt"`
	Revision  uint64        `json:"revision"`
	Ready     bool          `json:"ready"` // settled with the other servers
	Isolated  bool          `json:"isolated"`
	Lease     time.Duration `json:"leaseNs"`
	Members   []MemberInfo  `json:"members"`
	LIMs      []LIMInfo     `json:"lims"`
	Edits     *EditPlace    `json:"edits,omitempty"`
	Removed   string        `json:"removed,omitempty"`  // that this server was removed from the system, in words; "": it was not
	Settings  string        `json:"settings,omitempty"` // that it does not work by the settings on the disk, in words; "": it does
	Sinks     []SinkInfo    `json:"sinks,omitempty"`    // who is told of alarms
	Takeovers *Takeovers    `json:"takeovers,omitempty"`
	Pending   []string      `json:"pending,omitempty"` // what LIMs that leave their clusters, and bases that move, wait for

	Levels levels.Levels `json:"levels,omitzero"` // that the agent's version understands
}

// MemberInfo is one other server as the agent sees it.
type MemberInfo struct {
	Server   string `json:"server"`
	Liveness string `json:"liveness"` // alive, agent-lost, gone or unknown
	SilentMs int64  `json:"silentMs"`
	Revision uint64 `json:"revision"` // of its cluster document; 0: not heard

	Program *levels.Program `json:"program,omitempty"` // that it ran when it was last heard; nil: it never was
}

// LIMInfo is one LIM as the agent runs it, with the reason of that.
type LIMInfo struct {
	LIM    int    `json:"lim"`
	State  string `json:"state"`
	Term   uint64 `json:"term"`
	Reason string `json:"reason"`
}

// Backend is what the agent answers with. Errors carry fault codes.
type Backend interface {
	Status(ctx context.Context) (*status.ClusterStatus, error)
	Agent(ctx context.Context) (*AgentInfo, error)
	Events(ctx context.Context, q events.Query) (*events.List, error)
	Simulate(ctx context.Context, s whatif.Scenario) (*whatif.Result, error)
	Order(ctx context.Context, o Order) (*OrderResult, error)
	Exchange(ctx context.Context, r ExchangeRequest) error
	Edit(ctx context.Context, r EditRequest) (*EditResult, error)
	Stop(ctx context.Context, r StopRequest) (*StopResult, error)
	Reload(ctx context.Context) error
	LookAtData(ctx context.Context) error
	Keys(ctx context.Context) (*KeyInfo, error)
	RotateKey(ctx context.Context, r KeyRequest) (*KeyInfo, error)
	Alarms(ctx context.Context) (*status.AlarmList, error)
	Notice(ctx context.Context, r NoticeRequest) (*NoticeResult, error)
	TestSinks(ctx context.Context, r TestRequest) (*TestResult, error)
}
