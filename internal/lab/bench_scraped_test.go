//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"mxcluster/internal/netns"
)

const scrapedPort = "9946"

// benchScraped cuts the power of the active server, ten times with nobody who looks, and ten times
// while a host asks every server for its metrics, its status and the page, once a second.
func benchScraped(ctx context.Context, l *Lab) error {
	x, err := newSettledBenchSite(ctx, l, 200*time.Millisecond, "metrics:\n  listen: base:"+scrapedPort+"\n")
	if err != nil {
		return err
	}
	home := func(ctx context.Context) error { return x.bringHome(ctx, x.srv1.Boot) }
	if err := x.benchCuts(ctx, "power cut, software to start, not scraped", 10, home); err != nil {
		return err
	}
	host, err := x.network.addClient("prometheus", clientMAC(7), labAddress(110))
	if err != nil {
		return err
	}
	s := &scraper{site: x, host: host}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	x.Go(func(context.Context) error { s.run(ctx); return nil })
	if err := x.benchCuts(ctx, "  and scraped once a second", 10, home); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	row("  answers to the scrapes", fmt.Sprintf("%d, of %d bytes", s.answers, s.bytes), fmt.Sprintf("%d without one: the server is off, or starts", s.failures))
	if s.answers == 0 {
		return fmt.Errorf("nobody answers at port %s: %w", scrapedPort, s.err)
	}
	return nil
}

// scraper asks all servers of a site.
type scraper struct {
	*site
	host *netns.NS

	mu                       sync.Mutex
	answers, failures, bytes int
	err                      error
}

func (s *scraper) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		return conn, s.host.Do(func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
	}}
	client := &http.Client{Transport: transport, Timeout: 900 * time.Millisecond}
	for {
		for _, server := range []*Server{s.srv1, s.srv2, s.standby} {
			for _, path := range []string{"/metrics", "/status", "/"} {
				address := "http://" + net.JoinHostPort(server.base.Addr().String(), scrapedPort) + path
				go s.ask(ctx, client, address)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask asks once.
func (s *scraper) ask(ctx context.Context, client *http.Client, address string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	var n int64
	if err == nil {
		var answer *http.Response
		if answer, err = client.Do(r); err == nil {
			n, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK && err == nil {
				err = fmt.Errorf("%s: %s", address, answer.Status)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failures, s.err = s.failures+1, err
		return
	}
	s.answers, s.bytes = s.answers+1, s.bytes+int(n)
}
