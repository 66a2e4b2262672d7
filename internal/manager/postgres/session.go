package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mxcluster/internal/manager"
)

// session is a login at a PostgreSQL.
type session struct{ *pgx.Conn }

// login logs in at an address by a password, over the network; or, with the path of a socket,
// by that.
func login(ctx context.Context, at, user, password string) (*session, error) {
	cfg, err := pgx.ParseConfig("host=localhost user=postgres database=postgres sslmode=disable target_session_attrs=any passfile=/dev/null")
	if err != nil {
		return nil, err
	}
	network := "tcp"
	if strings.HasPrefix(at, "/") {
		network = "unix"
		cfg.Host = filepath.Dir(at)
	} else {
		host, port, err := net.SplitHostPort(at)
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		cfg.Host, cfg.Port = host, uint16(number)
	}
	cfg.User, cfg.Password, cfg.Fallbacks = user, password, nil
	cfg.RuntimeParams = map[string]string{"application_name": "mxcluster"}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, at)
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &session{conn}, nil
}

// do carries statements out.
func (s *session) do(ctx context.Context, statements ...string) error {
	for _, text := range statements {
		if _, err := s.Exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", firstWords(text), err)
		}
	}
	return nil
}

// firstWords names a statement without its values.
func firstWords(text string) string {
	words := strings.Fields(text)
	return strings.Join(words[:min(3, len(words))], " ")
}

// end closes the session; that is not waited for.
func (s *session) end() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(ctx) // nothing of it is needed any more
}

// wrongPassword reports whether a login failed because of the password, or because this
// server may not log in.
func wrongPassword(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && strings.HasPrefix(said.Code, "28")
}

// The parameters of a password's verifier (RFC 5803), those of PostgreSQL.
const (
	scramRounds = 4096
	scramSalt   = 16
)

// verifier is what PostgreSQL keeps of a password; the password itself is never sent, and
// appears in no log.
func verifier(password string, salt []byte, rounds int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	sign := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, b64(salt), b64(stored[:]), b64(sign("Server Key"))), nil
}

// newVerifier makes one with a salt of its own.
func newVerifier(password string) (string, error) {
	salt := make([]byte, scramSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	return verifier(password, salt, scramRounds)
}

// verifies reports whether a password is the one that PostgreSQL keeps.
func verifies(kept, password string) bool {
	rest, found := strings.CutPrefix(kept, "SCRAM-SHA-256$")
	head, _, ok := strings.Cut(rest, "$")
	rounds, salt, two := strings.Cut(head, ":")
	n, err := strconv.Atoi(rounds)
	raw, err2 := base64.StdEncoding.DecodeString(salt)
	if !found || !ok || !two || err != nil || err2 != nil {
		return false
	}
	want, err := verifier(password, raw, n)
	return err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(kept)) == 1
}

// keepLog makes a slot, if it is not there.
func (s *session) keepLog(ctx context.Context, name string) error {
	_, err := s.Exec(ctx, `select pg_create_physical_replication_slot($1::text::name, true)
		where not exists (select from pg_replication_slots where slot_name = $1::text)`, name)
	return err
}

// standing asks a PostgreSQL how far it is, in one question.
func (s *session) standing(ctx context.Context) (manager.Report, error) {
	var r manager.Report
	var lsn string
	var timeline int64
	err := s.QueryRow(ctx, `select not pg_is_in_recovery(),
		case when pg_is_in_recovery() then greatest((select timeline_id from pg_control_checkpoint()), coalesce((select received_tli from pg_stat_wal_receiver), 0))
			else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint end,
		coalesce(case when pg_is_in_recovery() then greatest(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn()) else pg_current_wal_lsn() end, '0/0')::text,
		exists (select from pg_stat_wal_receiver where status = 'streaming'),
		exists (select from pg_stat_replication where state = 'streaming' and application_name like 'mxcluster\_%')`).
		Scan(&r.Writes, &timeline, &lsn, &r.Streams, &r.Followed)
	if err != nil {
		return r, err
	}
	r.Running, r.Position.Timeline = true, uint32(timeline)
	r.Position.LSN, err = manager.ParseLSN(lsn)
	return r, err
}
