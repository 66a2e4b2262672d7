//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mxcluster/internal/netns"
)

// rowWriter is a client of the management system: it writes a row every 5 ms through the virtual
// address, and takes another row and another connection where no answer comes in time.
type rowWriter struct {
	from    *netns.NS
	timeout time.Duration
	next    int
	taken   []takenRow
	err     error // of the last connection
}

// takenRow is a row that was acknowledged, and when.
type takenRow struct {
	row int
	at  time.Time
}

// run writes until the context ends.
func (w *rowWriter) run(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var conn *pgx.Conn
	drop := func() {
		if conn != nil {
			_ = conn.PgConn().Conn().Close() // without a word: nobody may listen
			conn = nil
		}
	}
	defer drop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if conn == nil {
			conn, w.err = w.connect(ctx) // tried again at the next tick
			continue
		}
		w.next++
		_ = conn.PgConn().Conn().SetDeadline(time.Now().Add(w.timeout))
		if _, err := conn.Exec(context.WithoutCancel(ctx), "insert into t values ("+strconv.Itoa(w.next)+")", pgx.QueryExecModeSimpleProtocol); err != nil {
			drop()
			continue
		}
		w.taken = append(w.taken, takenRow{w.next, time.Now()})
	}
}

func (w *rowWriter) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("host=" + managementVIP + " user=app dbname=postgres sslmode=disable password=" + managementPassword)
	if err != nil {
		return nil, err
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		err = w.from.Do(func() error {
			conn, err = (&net.Dialer{Timeout: w.timeout}).DialContext(ctx, "tcp", managementVIP+":5432")
			return err
		})
		return conn, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second) // of the login, behind the connection
	defer cancel()
	return pgx.ConnectConfig(ctx, cfg)
}

// silence is the longest time between two rows that were taken.
func (w *rowWriter) silence() (longest time.Duration) {
	for i := 1; i < len(w.taken); i++ {
		longest = max(longest, w.taken[i].at.Sub(w.taken[i-1].at))
	}
	return longest
}

// benchManagement cuts the power of the master again and again, 200 ms after the standby stopped hearing
// anything, and has the management system fall back by order, with a client that writes every 5 ms:
// asynchronous and synchronous, with a small database, or one of MXCLUSTER_BENCH_MB. Fresh has the log
// that a rewind needs be gone.
func benchManagement(fresh bool) Scenario {
	return func(ctx context.Context, l *Lab) error {
		if err := errors.Join(managementMissing(), os.Chmod(filepath.Dir(l.Dir), 0o755)); err != nil {
			return err
		}
		d := &managementBench{managementDemo: &managementDemo{site: &site{Lab: l, narrator: newNarrator(os.Stdout, true), asking: callEvery}}, fresh: fresh}
		for _, step := range []func(context.Context) error{
			d.build, d.addDatabases, d.fill, d.makeSystem, d.connectClient,
			func(ctx context.Context) error { return d.create(ctx, time.Second) },
			d.timeSetUp, d.measure,
		} {
			if err := within(ctx, 10*time.Minute, step); err != nil {
				return err
			}
		}
		return nil
	}
}

type managementBench struct {
	*managementDemo
	fresh bool
}

// fill makes the database as large as is wanted.
func (d *managementBench) fill(ctx context.Context) error {
	mb := benchNumber("MB", 0)
	if mb == 0 {
		return nil
	}
	_, err := d.master.sql(ctx, fmt.Sprintf("create table large as select g, repeat(md5(g::text), 31) from generate_series(1, %d) g; checkpoint", mb*950))
	return err
}

func (d *managementBench) timeSetUp(ctx context.Context) error {
	began := time.Now()
	if err := d.setUp(ctx); err != nil {
		return err
	}
	size, err := d.master.sql(ctx, "select pg_size_pretty(sum(pg_database_size(oid))) from pg_database")
	row("set-up of both, then once more", time.Since(began).Round(time.Millisecond), size)
	return err
}

func (d *managementBench) measure(ctx context.Context) error {
	for _, synchronous := range []string{"off", "on"} {
		var silences, planned, rejoined []time.Duration
		var lost, lostInOrder, taken []int
		args := []string{"manager", "reconfigure", "--role", "master", "--vip", managementVIP, "--replication-user", "mxone_replication",
			"--password-file", filepath.Join(d.srv1.dir, "password"), "--synchronous", synchronous}
		if _, err := d.srv1.Mxcluster(ctx, args...); err != nil {
			return err
		}
		for range benchNumber("RUNS", 5) {
			if err := d.awaitSync(ctx, synchronous == "on"); err != nil {
				return err
			}
			w, err := d.writing(ctx, func() error { return d.hiccupAndCut(ctx) })
			if err != nil {
				return err
			}
			silences = append(silences, w.silence())
			n, err := d.lost(ctx, d.onStandby, w)
			if err != nil {
				return err
			}
			lost, taken = append(lost, n), append(taken, len(w.taken))
			took, err := d.comeBack(ctx)
			if err != nil {
				return err
			}
			rejoined = append(rejoined, took)
			w, err = d.writing(ctx, func() error {
				_, err := d.srv1.Mxcluster(ctx, "manager", "fallback", "--wait")
				return err
			})
			if err != nil {
				return err
			}
			planned = append(planned, w.silence())
			if n, err = d.lost(ctx, d.master, w); err != nil {
				return err
			}
			lostInOrder = append(lostInOrder, n)
			if err := d.awaitManaged(ctx, d.srv1, "srv1"); err != nil {
				return err
			}
		}
		row("synchronous "+synchronous+": power cut", spread(silences), fmt.Sprintf("rows lost %v of %v taken", lost, taken))
		row("  rejoin of the old master", spread(rejoined))
		row("  fallback by order", spread(planned), fmt.Sprintf("rows lost %v", lostInOrder))
	}
	return nil
}

// awaitSync waits until commits wait for the standby, or do not.
func (d *managementBench) awaitSync(ctx context.Context, on bool) error {
	want := "async"
	if on {
		want = "sync"
	}
	for {
		if got, err := d.master.sql(ctx, "select coalesce(string_agg(sync_state, ' '), '') from pg_stat_replication"); err != nil || got == want {
			return err
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// writing has rows be written from srv2 while something happens, a second before, and until rows are
// taken for a second after.
func (d *managementBench) writing(ctx context.Context, event func() error) (*rowWriter, error) {
	ns, err := netns.FromPID(d.srv2.first.pid)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if _, err := d.active(ctx); err != nil {
		return nil, err
	}
	w := &rowWriter{from: ns, timeout: time.Duration(benchNumber("TIMEOUT", 50)) * time.Millisecond}
	writing, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.run(writing) }()
	err = errors.Join(wait(ctx, time.Second), event(), wait(ctx, 4*time.Second))
	stop()
	if err = errors.Join(err, <-done); err == nil && len(w.taken) == 0 {
		err = fmt.Errorf("no row was taken: %w", w.err)
	}
	return w, err
}

// active empties the table where rows are taken.
func (d *managementBench) active(ctx context.Context) (*database, error) {
	for _, db := range []*database{d.master, d.onStandby} {
		if out, err := db.sql(ctx, "select pg_is_in_recovery()"); err == nil && out == "f" {
			_, err = db.sql(ctx, "truncate t")
			return db, err
		}
	}
	return nil, errors.New("no server accepts writes")
}

// hiccupAndCut keeps the standby from hearing anything for 200 ms, and then cuts the master's power.
func (d *managementBench) hiccupAndCut(ctx context.Context) error {
	if err := d.network.ns.Detach("sb1"); err != nil {
		return err
	}
	return errors.Join(wait(ctx, 200*time.Millisecond), d.srv1.PowerCut(), d.network.ns.Attach("sb1", switchName))
}

// lost counts the rows that were acknowledged and are not there.
func (d *managementBench) lost(ctx context.Context, db *database, w *rowWriter) (int, error) {
	out, err := db.sql(ctx, "select coalesce(string_agg(i::text, ' '), '') from t")
	if err != nil {
		return 0, err
	}
	there, lost := strings.Fields(out), 0
	for _, r := range w.taken {
		if !slices.Contains(there, strconv.Itoa(r.row)) {
			lost++
		}
	}
	return lost, nil
}

// comeBack boots the old master, and returns how long it took to follow from the start of its agent on;
// then LIM 1 falls back.
func (d *managementBench) comeBack(ctx context.Context) (took time.Duration, err error) {
	if err := errors.Join(d.srv1.Boot(ctx), d.master.start(ctx)); err != nil {
		return 0, err
	}
	if d.fresh {
		if _, err := d.master.sql(ctx, "checkpoint"); err != nil {
			return 0, err
		}
		segments, err := filepath.Glob(filepath.Join(d.srv1.dir, "databases/main/pg_wal/0000*"))
		if err != nil || len(segments) < 2 {
			return 0, fmt.Errorf("%v, %w", segments, err)
		}
		segments = slices.DeleteFunc(segments, func(s string) bool { return strings.HasSuffix(s, ".history") })
		for _, old := range segments[:len(segments)-1] {
			if err := os.Remove(old); err != nil {
				return 0, err
			}
		}
	}
	began := time.Now()
	if err := errors.Join(d.startAgent(ctx, d.srv1), d.awaitManaged(ctx, d.standby, "sb1")); err != nil {
		return 0, err
	}
	took = time.Since(began)
	_, err = d.standby.Mxcluster(ctx, "fallback", "1", "--wait")
	return took, err
}
