package postgres

import (
	"context"
	"errors"
	"net"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"mxcluster/internal/manager"
)

// askLimit is how long a PostgreSQL may take to answer all that it is asked.
const askLimit = 10 * time.Second

// connect logs in as the superuser, by the socket: PostgreSQL knows by the kernel who is at
// the other end, and lets the user in that it runs as.
func connect(ctx context.Context, m postmaster) (*pgx.Conn, error) {
	// All is said here that variables of the environment and files could say otherwise.
	cfg, err := pgx.ParseConfig("host=localhost user=postgres database=postgres sslmode=disable target_session_attrs=any passfile=/dev/null")
	if err != nil {
		return nil, err
	}
	cfg.Host, cfg.Port, cfg.Password, cfg.Fallbacks = filepath.Dir(m.socket), uint16(m.port), "", nil
	if u, err := user.LookupId(strconv.Itoa(m.uid)); err == nil {
		cfg.User = u.Username
	}
	cfg.RuntimeParams = map[string]string{"application_name": "mxcluster"}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialAs(ctx, m.uid, m.gid, m.socket) }
	return pgx.ConnectConfig(ctx, cfg)
}

// ask asks a PostgreSQL that runs how it stands.
func ask(ctx context.Context, m postmaster) (d *manager.Database, err error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	conn, err := connect(ctx, m)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	d = &manager.Database{Settings: map[string]string{}}
	for _, part := range []func(context.Context, *pgx.Conn, *manager.Database) error{
		askItself, askUpstream, askFollowers, askSlots, askSettings, askDatabases,
	} {
		if err := part(ctx, conn, d); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// askItself asks for the position. The control file has the timeline of the last checkpoint,
// which is behind after a promotion; a writer's file name has its own.
func askItself(ctx context.Context, conn *pgx.Conn, d *manager.Database) error {
	var position, received string
	var timeline int64
	err := conn.QueryRow(ctx, `select (select system_identifier from pg_control_system())::text, pg_is_in_recovery(),
		case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
			else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint end,
		coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, '0/0')::text,
		coalesce(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() end, '0/0')::text,
		case when pg_is_in_recovery() then pg_last_xact_replay_timestamp() end`).
		Scan(&d.SystemID, &d.ReadOnly, &timeline, &position, &received, &d.ReplayedAt)
	if err != nil {
		return err
	}
	d.Timeline = uint32(timeline)
	return errors.Join(d.Position.UnmarshalText([]byte(position)), d.Received.UnmarshalText([]byte(received)))
}

// askUpstream asks whom it receives from, and on which timeline.
func askUpstream(ctx context.Context, conn *pgx.Conn, d *manager.Database) error {
	var u manager.Upstream
	var timeline int64
	err := conn.QueryRow(ctx, `select coalesce(sender_host, ''), status, coalesce(slot_name, ''), coalesce(received_tli, 0)
		from pg_stat_wal_receiver`).Scan(&u.Host, &u.Status, &u.Slot, &timeline)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	d.Upstream, d.Timeline = &u, max(d.Timeline, uint32(timeline))
	return nil
}

func askFollowers(ctx context.Context, conn *pgx.Conn, d *manager.Database) (err error) {
	d.Followers, err = rows(ctx, conn, `select coalesce(host(client_addr), ''), state, sync_state, coalesce(replay_lsn, '0/0')::text
		from pg_stat_replication where state <> 'backup' order by 1, pid`, func(row pgx.CollectableRow) (f manager.Follower, err error) {
		var replayed string
		err = row.Scan(&f.Address, &f.State, &f.Sync, &replayed)
		return f, errors.Join(err, f.Replayed.UnmarshalText([]byte(replayed)))
	})
	return err
}

func askSlots(ctx context.Context, conn *pgx.Conn, d *manager.Database) (err error) {
	d.Slots, err = rows(ctx, conn, `select slot_name::text, active, coalesce(wal_status, ''), greatest(coalesce(
		case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - restart_lsn, 0), 0)::bigint
		from pg_replication_slots where slot_type = 'physical' and not temporary order by 1`, func(row pgx.CollectableRow) (s manager.Slot, err error) {
		return s, row.Scan(&s.Name, &s.Active, &s.WAL, &s.Retained)
	})
	return err
}

// alike are settings that are not copied from server to server and should be the same on both:
// a follower with less of the first ones than its source stops, the others decide whether the
// servers can change places.
func alike() []string {
	return []string{"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction",
		"wal_level", "wal_log_hints", "max_replication_slots", "max_slot_wal_keep_size", "hot_standby", "password_encryption"}
}

func askSettings(ctx context.Context, conn *pgx.Conn, d *manager.Database) error {
	type setting struct{ name, value string }
	all, err := rows(ctx, conn, `select name, setting || coalesce(unit, '') from pg_settings where name = any($1)`, func(row pgx.CollectableRow) (s setting, err error) {
		return s, row.Scan(&s.name, &s.value)
	}, alike())
	for _, s := range all {
		d.Settings[s.name] = s.value
	}
	return err
}

// askDatabases asks for what people and programs have made. The one that every PostgreSQL has
// counts where something is in it.
func askDatabases(ctx context.Context, conn *pgx.Conn, d *manager.Database) (err error) {
	d.Databases, err = rows(ctx, conn, `select datname::text from pg_database where not datistemplate and (datname <> 'postgres' or exists (
		select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^pg_' and n.nspname <> 'information_schema')) order by 1`,
		func(row pgx.CollectableRow) (name string, err error) { return name, row.Scan(&name) })
	if err != nil {
		return err
	}
	return conn.QueryRow(ctx, `select coalesce(sum(pg_database_size(oid)), 0)::bigint from pg_database`).Scan(&d.Bytes)
}

// rows asks for rows, and reads each by scan. The list is never nil.
func rows[T any](ctx context.Context, conn *pgx.Conn, sql string, scan pgx.RowToFunc[T], args ...any) ([]T, error) {
	found, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(found, scan)
	return slices.Concat([]T{}, all), err
}
