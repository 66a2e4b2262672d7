package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/bandwidth"
	"mxcluster/internal/check"
	"mxcluster/internal/fault"
	"mxcluster/internal/remoteshell"
)

// echoMark is what the other side says before it is measured.
const echoMark = "mxcluster-check-echo\n"

// maxNoise bounds what a login may print before it, in bytes.
const maxNoise = 64 << 10

// echoPatience bounds a measurement, on both sides.
const echoPatience = 30 * time.Second

// measureBandwidth measures the way to those that this server synchronises data with, one after the
// other: they share its link. Who gave no facts is not asked again.
func (s *server) measureBandwidth(ctx context.Context, doc *clusterconf.Document, in *check.Input) {
	in.Bandwidth = map[string]check.Bandwidth{}
	for _, name := range in.Servers {
		if name == in.Observer || !syncsBetween(doc, in.Observer, name) {
			continue
		}
		if asked := in.Asked[name]; asked.Facts == nil {
			in.Bandwidth[name] = check.Bandwidth{Try: check.Try{Unseen: "it was not asked: " + asked.Why}}
			continue
		}
		in.Bandwidth[name] = s.askEcho(ctx, doc.Server(name))
	}
}

// askEcho measures the way to another server, by the login of syncs.
func (s *server) askEcho(ctx context.Context, there *clusterconf.Server) check.Bandwidth {
	ctx, cancel := context.WithTimeout(ctx, loginPatience+echoPatience)
	defer cancel()
	rsh := s.rsh()
	rsh.Patience = min(rsh.Patience, loginPatience)
	conn, err := remoteshell.Dial(ctx, rsh, there.Name, there.Base.Addr(), "check", "--echo")
	if err != nil {
		return check.Bandwidth{Try: check.Try{Unseen: err.Error()}}
	}
	defer conn.Close() // its error is about the early end
	if err := awaitMark(conn, echoMark); err != nil {
		return check.Bandwidth{Try: check.Try{Unseen: err.Error()}}
	}
	conn.Answered()
	r, err := bandwidth.Measure(conn, s.env.Now)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return check.Bandwidth{Try: check.Try{Problem: fmt.Sprintf("%s is too slow to be measured within %s: %v", there.Name, echoPatience, err)}}
	case err != nil:
		return check.Bandwidth{Try: check.Try{Unseen: err.Error()}}
	}
	return check.Bandwidth{To: r.Up, From: r.Down}
}

// awaitMark reads until a mark was read; a login may print something of its own before it.
func awaitMark(conn io.Reader, mark string) error {
	var said strings.Builder
	for one := make([]byte, 1); said.Len() < maxNoise; {
		n, err := conn.Read(one)
		said.Write(one[:n])
		if strings.HasSuffix(said.String(), mark) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil {
			break
		}
	}
	return fault.New(fault.Unreachable, "", "the answer is not that of mxcluster, of this version: %.80q", strings.TrimSpace(said.String()))
}

// serveEcho answers askEcho on another server. It ends with the stream, or in time.
func serveEcho(ctx context.Context, a *app) error {
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
	if _, err := io.WriteString(s.stdout, echoMark); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, echoPatience+time.Second) // nobody waits for longer
	defer cancel()
	ended := make(chan error, 1) // a read of standard input ends with the process
	go func() { ended <- bandwidth.Serve(s.env.Stdin, s.stdout) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("being measured: %w", ctx.Err())
	}
}
