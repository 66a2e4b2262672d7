package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	readLimit     = 10 * time.Second // for a caller to send its whole request
	writeLimit    = 10 * time.Second // for a caller to take the answer in
	idleLimit     = time.Minute
	shutdownLimit = 5 * time.Second // for calls under way when the agent ends
)

// Serve answers calls with b until ctx ends, then removes the socket, gives
// calls under way a short time and returns nil. A call is not cancelled by the
// end of ctx: the call that stops the agent gets its answer, too. No other
// agent can start before l.Close.
func Serve(ctx context.Context, l *Listener, b Backend, log *slog.Logger) error {
	l.guests.logTo(log)
	srv := &http.Server{
		Handler:           newHandler(b, l.group, log),
		ConnContext:       withPeer,
		ReadHeaderTimeout: readLimit,
		ReadTimeout:       readLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(socketOnly{l}); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
		defer cancel()
		if err := srv.Shutdown(end); err != nil {
			return srv.Close()
		}
		return nil
	})
	return g.Wait()
}
