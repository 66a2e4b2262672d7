package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

// How long the client waits where the caller's context sets no deadline. A
// hung agent takes connections and never answers.
const (
	readWait   = 5 * time.Second
	changeWait = 30 * time.Second
	stopWait   = 5 * time.Minute // releasing waits for services to stop
	testWait   = time.Minute     // sinks have their own, shorter limits
)

// maxAnswer bounds an answer: a status of ten clusters takes well under 1 MiB,
// the events of all servers of the largest system up to 190 MiB.
const maxAnswer = 256 << 20

// Client calls the agent that listens at Path. A call waits until its context's
// deadline, or for a fixed time where that has none.
//
// Its errors are of package fault: what the agent answered comes with the code
// and hint that the agent gave; no agent is fault.Unreachable; a change whose
// answer did not arrive is fault.Unknown.
type Client struct {
	Path  string
	Spare string // where the agent listens while there is no room at Path; "": nowhere
	Start string // what a person types to start it; "": the command that does

	Version string // of the program that calls, for errors; "": not known
}

// Status returns the clusters as the agent sees them.
func (c *Client) Status(ctx context.Context) (*status.ClusterStatus, error) {
	return call[status.ClusterStatus](ctx, c, http.MethodGet, "/v1/status", nil, readWait)
}

// Agent returns what the agent says of itself.
func (c *Client) Agent(ctx context.Context) (*AgentInfo, error) {
	return call[AgentInfo](ctx, c, http.MethodGet, agentPath, nil, readWait)
}

// agentPath is the call that all versions know.
const agentPath = "/v1/agent"

// Events returns what happened, as far as the servers that answer keep it.
func (c *Client) Events(ctx context.Context, q events.Query) (*events.List, error) {
	return inquire[events.List](ctx, c, "/v1/events", q, changeWait)
}

// Simulate returns what would move where, and why.
func (c *Client) Simulate(ctx context.Context, s whatif.Scenario) (*whatif.Result, error) {
	return inquire[whatif.Result](ctx, c, "/v1/simulate", s, readWait)
}

// inquire asks a question that takes a value.
func inquire[A, Q any](ctx context.Context, c *Client, path string, q Q, wait time.Duration) (*A, error) {
	raw, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encoding the call %s: %w", path, err)
	}
	return call[A](ctx, c, http.MethodGet, path+"?q="+url.QueryEscape(string(raw)), nil, wait)
}

// Order hands an order in.
func (c *Client) Order(ctx context.Context, o Order) (*OrderResult, error) {
	wait := changeWait
	if !o.DryRun {
		wait += o.DrainCalls
	}
	return call[OrderResult](ctx, c, http.MethodPost, "/v1/order", o, wait)
}

// Exchange has every server concerned make ready for an exchange of addresses,
// all or none.
func (c *Client) Exchange(ctx context.Context, r ExchangeRequest) error {
	_, err := call[struct{}](ctx, c, http.MethodPost, "/v1/exchange", r, changeWait)
	return err
}

// Edit has an edit of the cluster document carried out where that is done.
func (c *Client) Edit(ctx context.Context, r EditRequest) (*EditResult, error) {
	return call[EditResult](ctx, c, http.MethodPost, "/v1/edit", r, changeWait)
}

// Stop asks the agent to end. It answers before it ends: wait for the process
// that the answer names.
func (c *Client) Stop(ctx context.Context, r StopRequest) (*StopResult, error) {
	return call[StopResult](ctx, c, http.MethodPost, "/v1/stop", r, stopWait)
}

// Reload has the agent read the cluster document and the gossip keys again.
func (c *Client) Reload(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, http.MethodPost, "/v1/reload", nil, changeWait)
	return err
}

// LookAtData has the agent look at the data versions on its server, and returns when what it
// and the others show follows from what is there.
func (c *Client) LookAtData(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, http.MethodPost, "/v1/data", nil, readWait)
	return err
}

// Keys returns which server has which gossip key.
func (c *Client) Keys(ctx context.Context) (*KeyInfo, error) {
	return call[KeyInfo](ctx, c, http.MethodGet, "/v1/keys", nil, readWait)
}

// RotateKey begins a rotation of the gossip key, or finds one on its way.
func (c *Client) RotateKey(ctx context.Context, r KeyRequest) (*KeyInfo, error) {
	return call[KeyInfo](ctx, c, http.MethodPost, "/v1/keys/rotate", r, changeWait)
}

// Alarms returns what is raised in the whole system.
func (c *Client) Alarms(ctx context.Context) (*status.AlarmList, error) {
	return call[status.AlarmList](ctx, c, http.MethodGet, "/v1/alarms", nil, readWait)
}

// Notice says of an alarm that it is known, or has it end.
func (c *Client) Notice(ctx context.Context, r NoticeRequest) (*NoticeResult, error) {
	return call[NoticeResult](ctx, c, http.MethodPost, "/v1/alarms/notice", r, changeWait)
}

// TestSinks has a test alarm told to every sink of the agent's server.
func (c *Client) TestSinks(ctx context.Context, r TestRequest) (*TestResult, error) {
	return call[TestResult](ctx, c, http.MethodPost, "/v1/alarms/test", r, testWait)
}

// Running tells whether an agent listens; a hung one does, too.
func (c *Client) Running(ctx context.Context) bool {
	conn, err := c.dial(ctx)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Path)
	if c.Spare != "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)) && len(c.Spare) <= maxPath {
		if spare, err := d.DialContext(ctx, "unix", c.Spare); err == nil {
			return spare, nil
		}
	}
	return conn, err
}

// call makes one exchange over a connection of its own: commands make one or
// two calls, pooling would only keep descriptors.
func call[T any](ctx context.Context, c *Client, method, path string, body any, wait time.Duration) (*T, error) {
	if err := checkPath(c.Path); err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	req, err := newRequest(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, c.failed(ctx, req, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, c.failed(ctx, req, err)
	}
	v, err := parse[T](resp, answer)
	if err != nil && path != agentPath && unknownThere(resp, err) {
		err = c.otherVersion(ctx, err)
	}
	return v, err
}

// unknownThere tells whether an agent does not know the call, or a part of it.
func unknownThere(resp *http.Response, err error) bool {
	return resp.StatusCode == http.StatusNotFound && fault.CodeOf(err) == fault.Failed ||
		resp.StatusCode == http.StatusBadRequest && strings.Contains(err.Error(), unknownField)
}

// unknownField is how package json begins the error for a key that is not known.
const unknownField = "json: unknown field "

// otherVersion names the versions of the command and of the agent, which does not know what the
// command asks for.
func (c *Client) otherVersion(ctx context.Context, err error) error {
	there := "a version that it does not tell"
	if info, failed := c.Agent(ctx); failed == nil && info.Version != "" {
		there = "version " + info.Version
	}
	return fault.Wrap(err, fault.CodeOf(err), "restart the agent here with the program of the command: systemctl restart mxcluster-agent (mxcluster upgrade check says whether it may be now)",
		"the agent, of %s, does not know all that this command, of version %s, asks for", there, c.Version)
}

func newRequest(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var r io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encoding the call %s: %w", path, err)
		}
		r = bytes.NewReader(b)
	}
	return http.NewRequestWithContext(ctx, method, "http://agent"+path, r)
}

func parse[T any](resp *http.Response, answer []byte) (*T, error) {
	if resp.StatusCode != http.StatusOK {
		if err := decodeError(answer); err != nil {
			return nil, err
		}
		return nil, fault.New(fault.Failed, "", "the agent answered %s without saying why", resp.Status)
	}
	var v T
	if err := json.Unmarshal(answer, &v); err != nil {
		return nil, fault.Wrap(err, fault.Failed, "", "reading the agent's answer")
	}
	return &v, nil
}

// failed classes what went wrong between the command and the agent.
func (c *Client) failed(ctx context.Context, req *http.Request, err error) error {
	var dial *net.OpError
	dialled := !errors.As(err, &dial) || dial.Op != "dial"
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("calling the agent at %s: %w", c.Path, context.Canceled)
	case !dialled && errors.Is(err, fs.ErrPermission):
		return fault.New(fault.NotPermitted, "see the mode of the runtime folder, or run the command as root",
			"may not connect to the agent at %s", c.Path)
	case !dialled && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)):
		return fault.New(fault.Unreachable, "start it: "+cmp.Or(c.Start, "mxcluster agent run"), "no agent answers at %s", c.Path)
	case dialled && req.Method != http.MethodGet:
		return fault.Wrap(err, fault.Unknown, "see what happened: mxcluster status",
			"the agent at %s gave no answer; the order may have been carried out", c.Path)
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), closedUnasked(err):
		return fault.New(fault.Unreachable,
			fmt.Sprintf("try again; a user other than root may have %d connections at a time, and all of them %d", maxOfUser, maxGuests),
			"the agent at %s closed the connection unanswered", c.Path)
	}
	return fault.Wrap(err, fault.Unreachable, "the agent may hang: see its log",
		"the agent at %s gave no answer", c.Path)
}

// closedUnasked tells whether the connection was closed before a request was written;
// net/http has no name for that error.
func closedUnasked(err error) bool {
	return strings.Contains(err.Error(), "server closed idle connection")
}
