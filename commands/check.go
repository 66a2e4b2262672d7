package commands

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/check"
	"mxcluster/internal/fault"
	"mxcluster/internal/remoteshell"
	"mxcluster/internal/ui"
)

type checkOptions struct {
	plugin    bool
	bandwidth bool
	facts     bool
	echo      bool
}

// newCheckCommand returns `check`.
func newCheckCommand(a *app) *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use:   "check [C]",
		Short: "Check everything that a takeover depends on, on all servers",
		Long: `Check looks at what the servers need to take over from each other, and tells for each
point what was measured, what is needed and what to do: version, document and gossip
key, agents, addresses and what else brings an alias up, nftables, the gossip port by TCP
and UDP both ways, full-size packets, gratuitous ARP and what the kernel does with it,
logins for syncs both ways, the software of each LIM on both sides, witnesses, room for
two backups of every LIM, clocks.

This server is looked at here. The others are asked by the login of their syncs, as
'mxcluster sync setup-ssh' makes it, whether agents run or not; what a server that was
not asked has is unknown. On a standby that covers its whole cluster. Meanwhile each
server announces its own base by gratuitous ARP, twice a second for two seconds, this one
until the last has answered, beside arp.budget; nothing is changed.

With --bandwidth it measures besides, one after the other, how fast bytes get by those
logins from here to each server that it synchronises data with, and back: blocks that
double, until one takes half a second. That fills the link for some seconds.

The exit code is 0 when nothing is wrong, or warnings alone, 3 when something fails, and
8 when something could not be seen. With --check it prints one line and ends as
monitoring plugins do: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.`,
		Example:     "  mxcluster check\n  mxcluster check c1 -o json\n  mxcluster check --bandwidth\n  mxcluster check --check",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unknown, fault.NotPermitted, fault.Invalid),
		Args:        arguments("[C]"),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case o.facts:
				return tellCheckFacts(c.Context(), a)
			case o.echo:
				return serveEcho(c.Context(), a)
			case o.plugin:
				return checkAsPlugin(c.Context(), a, optionalArgument(args), o.bandwidth)
			}
			return runCheck(c.Context(), a, optionalArgument(args), o.bandwidth)
		},
	}
	c.Flags().BoolVar(&o.plugin, "check", false, "answer as a monitoring plugin")
	c.Flags().BoolVar(&o.bandwidth, "bandwidth", false, "measure how fast data get to the other servers, too")
	c.Flags().BoolVar(&o.facts, "facts", false, "tell another server what this one sees of itself")
	c.Flags().BoolVar(&o.echo, "echo", false, "have another server measure the way to this one")
	for _, hidden := range []string{"facts", "echo"} {
		if err := c.Flags().MarkHidden(hidden); err != nil {
			panic(err) // the flags are defined above
		}
	}
	asRoot(c) // the wire, and namespaces
	return c
}

func runCheck(ctx context.Context, a *app, cluster string, bandwidth bool) error {
	r, err := a.checkAll(ctx, cluster, bandwidth)
	if err != nil {
		return fmt.Errorf("checking the servers: %w", err)
	}
	if err := a.out.Show(checkView(r)); err != nil {
		return err
	}
	for _, worst := range []struct {
		verdict check.Verdict
		code    fault.Code
	}{{check.Failed, fault.Refused}, {check.Unknown, fault.Unknown}} {
		if i := slices.IndexFunc(r.Findings, func(f check.Finding) bool { return f.Verdict == worst.verdict }); i >= 0 {
			return fault.New(worst.code, r.Findings[i].Remedy, "%s", checkSummary(r))
		}
	}
	return nil
}

// checkAsPlugin answers as monitoring plugins do.
func checkAsPlugin(ctx context.Context, a *app, cluster string, bandwidth bool) error {
	var text string
	result := check.Unknown
	if r, err := a.checkAll(ctx, cluster, bandwidth); err != nil {
		text = err.Error()
	} else {
		result, text = r.Result, checkSummary(r)
	}
	word, code := "UNKNOWN", fault.Code(3)
	switch result {
	case check.OK:
		word, code = "OK", 0
	case check.Warning:
		word, code = "WARNING", 1
	case check.Failed:
		word, code = "CRITICAL", 2
	case check.Unknown:
	}
	if err := a.out.Lines(word + " - " + ui.OneLine(text)); err != nil {
		a.out.Warn("%v", err)
		return exitError{3}
	}
	if code == 0 {
		return nil
	}
	return exitError{code}
}

// checkSummary says in one line how many points are how, and the gravest of them.
func checkSummary(r *check.Report) string {
	text := fmt.Sprintf("%d failed, %d warnings, %d unknown of %d checks", r.Count(check.Failed), r.Count(check.Warning), r.Count(check.Unknown), len(r.Findings))
	if r.Result == check.OK {
		return text
	}
	f := r.Findings[0]
	where := ""
	if f.Server != "" {
		where = " on " + f.Server
	}
	return fmt.Sprintf("%s; %s%s: %s", text, f.Name, where, f.Measured)
}

func checkView(r *check.Report) ui.View {
	v := ui.View{
		Object:  r,
		Columns: []ui.Column{{Head: "VERDICT"}, {Head: "CHECK"}, {Head: "SERVER"}, {Head: "MEASURED"}, {Head: "NEEDED", Wide: true}, {Head: "REMEDY"}},
	}
	styles := map[check.Verdict]ui.Style{check.OK: ui.Good, check.Warning: ui.Fair, check.Unknown: ui.Fair, check.Failed: ui.Bad}
	for _, f := range r.Findings {
		v.Rows = append(v.Rows, []string{string(f.Verdict), f.Name, f.Server, f.Measured, f.Needed, f.Remedy})
		v.Names = append(v.Names, f.Name)
	}
	v.Style = func(row, column int) ui.Style {
		if column != 0 {
			return ""
		}
		return styles[r.Findings[row].Verdict]
	}
	return v
}

// checkAll looks at this server, asks the others, and judges.
func (a *app) checkAll(ctx context.Context, cluster string, bandwidth bool) (*check.Report, error) {
	s, err := a.server()
	if err != nil {
		return nil, err
	}
	doc, err := s.read()
	if err != nil {
		return nil, err
	}
	in := check.Input{Document: doc, Observer: s.settings.Server, Port: s.settings.GossipPort, Asked: map[string]check.Asked{}}
	if in.Servers, err = serversToCheck(doc, cluster); err != nil {
		return nil, err
	}
	if doc.Server(in.Observer) == nil {
		return nil, s.checkKnown(doc)
	}
	var mu sync.Mutex
	var others, own sync.WaitGroup
	for _, name := range in.Servers {
		if name == in.Observer {
			continue
		}
		others.Go(func() {
			asked := s.askFacts(ctx, doc.Server(name))
			mu.Lock()
			defer mu.Unlock()
			in.Asked[name] = asked
		})
	}
	answered := make(chan struct{})
	own.Go(func() {
		facts := s.checkFacts(ctx, doc, answered)
		mu.Lock()
		defer mu.Unlock()
		in.Asked[in.Observer] = check.Asked{Facts: facts}
	})
	others.Wait()
	close(answered)
	own.Wait()
	if bandwidth {
		s.measureBandwidth(ctx, doc, &in)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // what was not waited for is not unknown
	}
	in.Now = s.env.Now()
	return check.Judge(in), nil
}

// serversToCheck are those of a cluster, or all.
func serversToCheck(doc *clusterconf.Document, cluster string) (names []string, err error) {
	if cluster == "" {
		return serverNames(doc), nil
	}
	c := doc.Cluster(cluster)
	if c == nil {
		var all []string
		for _, c := range doc.Clusters {
			all = append(all, c.Name)
		}
		return nil, fault.New(fault.NotFound, didYouMean(cluster, all, "mxcluster list"), "there is no cluster %q", cluster)
	}
	for _, m := range c.LIMs {
		names = append(names, doc.RegularOf(m.LIM).Name)
	}
	return append(names, c.Standby), nil
}

const (
	// checkPatience bounds how long another server may take to answer.
	checkPatience = 30 * time.Second
	// loginPatience bounds a login that is tried; it is part of that.
	loginPatience = 10 * time.Second
)

// askFacts asks another server, by the login of syncs.
func (s *server) askFacts(ctx context.Context, there *clusterconf.Server) check.Asked {
	rsh := s.rsh()
	rsh.Patience = checkPatience
	conn, err := remoteshell.Dial(ctx, rsh, there.Name, there.Base.Addr(), "check", "--facts")
	if err != nil {
		return check.Asked{Why: err.Error()}
	}
	defer conn.Close() // its error is about the early end
	facts, err := readMarked[check.Facts](conn, checkMark)
	switch {
	case err != nil:
		return check.Asked{Why: err.Error()}
	case facts.Server != there.Name:
		return check.Asked{Why: fmt.Sprintf("%s answers at its base", facts.Server)}
	}
	return check.Asked{Facts: facts, Offset: facts.At.Sub(s.env.Now())}
}

// checkMark begins the line of an answer: a login may print lines of its own before it.
const checkMark = "mxcluster-check-facts "

// tellCheckFacts answers askFacts on another server.
func tellCheckFacts(ctx context.Context, a *app) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	if err := s.checkKnown(doc); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience) // nobody waits for longer
	defer cancel()
	alone := make(chan struct{})
	close(alone)
	facts := s.checkFacts(ctx, doc, alone)
	facts.At = s.env.Now()
	text, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, "%s%s\n", checkMark, text)
	return err
}

// mayAskFacts lets the key of any server of the system ask.
func (k syncKey) mayAskFacts(doc *clusterconf.Document, me string) error {
	_, err := k.holds(doc, me)
	return err
}

// maxMarked bounds an answer, in bytes.
const maxMarked = 1 << 20

// readMarked reads the line of mxcluster's answer on another server, which a mark begins.
func readMarked[T any](conn io.Reader, mark string) (*T, error) {
	first := ""
	for lines := bufio.NewReader(io.LimitReader(conn, maxMarked)); ; {
		line, err := lines.ReadString('\n')
		if _, text, found := strings.Cut(line, mark); found && err == nil {
			var v T
			if err := json.Unmarshal([]byte(text), &v); err != nil {
				return nil, fmt.Errorf("reading the answer of mxcluster there: %w", err)
			}
			return &v, nil
		}
		if first == "" {
			first = strings.TrimSpace(line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, fault.New(fault.Unreachable, "make sure that sync.remote_command starts mxcluster there, of the same version",
				"the answer is not that of mxcluster: %.80q", first)
		case err != nil:
			return nil, err
		}
	}
}
