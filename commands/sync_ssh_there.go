package commands

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"mvdan.cc/sh/v3/syntax"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
	"mxcluster/internal/sshlogin"
	"mxcluster/internal/ui"
	"mxcluster/xdata"
)

// keyAccepted is the answer of accept-key after it has installed the key.
const keyAccepted = "mxcluster-key-accepted"

// newAcceptKeyCommand returns `sync accept-key`, which setup-ssh runs on the other
// server.
func newAcceptKeyCommand(a *app) *cobra.Command {
	var k syncKey
	c := &cobra.Command{
		Use:    "accept-key",
		Short:  "Let the key of another server's syncs in",
		Long:   "Sync accept-key reads a public key from standard input and lets it reach the data of the\nLIMs that both servers may run, and nothing else. 'mxcluster sync setup-ssh' runs it.",
		Hidden: true,
		Args:   arguments(),
		RunE:   func(*cobra.Command, []string) error { return runAcceptKey(a, k) },
	}
	k.flags(c)
	c.Annotations = exits(fault.Refused, fault.NotFound, fault.NotPermitted, fault.Invalid)
	asRoot(c) // the file is that of who logs in
	return c
}

func runAcceptKey(a *app, k syncKey) error {
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	doc, err := a.store(dirs).Read()
	if err != nil {
		return err
	}
	if doc.Server(k.from) == nil {
		return fault.New(fault.NotFound, "mxcluster server list", "letting a key in: there is no server %q", k.from)
	}
	home := a.env.lookup("HOME")
	if home == "" {
		return fault.New(fault.Failed, "set HOME", "letting a key in: the home folder is not known")
	}
	key, err := bufio.NewReader(io.LimitReader(a.env.Stdin, 1<<10)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading the key: %w", err)
	}
	command, err := forcedCommand(dirs, k)
	if err != nil {
		return err
	}
	file := filepath.Join(home, ".ssh", "authorized_keys")
	if _, err := sshlogin.Authorize(file, sshlogin.Grant{From: k.from, Key: key, Command: command}); err != nil {
		return fmt.Errorf("letting the key of %s in by %s: %w", k.from, file, err)
	}
	_, err = fmt.Fprintln(a.stdout, keyAccepted)
	return err
}

// forcedCommand is the command of the key: this program with its folders, for the key's server.
func forcedCommand(d settings.Dirs, k syncKey) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	words := []string{exe, "sync", "ssh-command", "--from", k.from, "--config-dir", d.Config, "--state-dir", d.State, "--run-dir", d.Run}
	if k.orders {
		words = append(words, "--orders")
	}
	for i, w := range words {
		if words[i], err = syntax.Quote(w, syntax.LangPOSIX); err != nil {
			return "", err
		}
	}
	return strings.Join(words, " "), nil
}

// newSSHCommand returns `sync ssh-command`, the forced command of a key.
func newSSHCommand(a *app) *cobra.Command {
	var k syncKey
	c := &cobra.Command{
		Use:   "ssh-command",
		Short: "Do what a sync of another server asks for",
		Long: `Sync ssh-command is what sshd starts for the key of another server's syncs. It does
what that server asked for in SSH_ORIGINAL_COMMAND if it is 'xdata serve' or a
sync, of LIMs that both servers may run, 'manager facts' between the servers of LIM 1,
or 'check --facts' and 'check --echo', and nothing else.`,
		Hidden:      true,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runSSHCommand(c.Context(), a, k)
		},
	}
	k.flags(c)
	return c
}

func runSSHCommand(ctx context.Context, a *app, k syncKey) error {
	asked, err := parseSSHCommand(a.env.lookup("SSH_ORIGINAL_COMMAND"))
	if err != nil {
		return err
	}
	k.forced = true // whatever is asked for
	if asked.serve {
		return runXdataServe(ctx, a, k)
	}
	a.out.Format = ui.JSON
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	if asked.check || asked.echo {
		if err := k.used(a.env).mayAskFacts(doc, s.settings.Server); err != nil {
			return err
		}
		if asked.echo {
			return serveEcho(ctx, a)
		}
		return tellCheckFacts(ctx, a)
	}
	if asked.facts {
		if err := k.used(a.env).mayAskManager(doc, s.settings.Server); err != nil {
			return err
		}
		return s.tellFacts(ctx)
	}
	if err := k.used(a.env).mayOrder(doc, s.settings.Server, asked); err != nil {
		return err
	}
	return runSync(ctx, a, asked.cluster, asked.sync)
}

// sshCommand is the command that a key was used for.
type sshCommand struct {
	serve   bool // `xdata serve`; if none of these, a sync
	facts   bool // `manager facts`
	check   bool // `check --facts`
	echo    bool // `check --echo`
	cluster string
	sync    syncOptions
}

// maxSSHCommand is the most bytes of the requested command.
const maxSSHCommand = 4 << 10

// Bounds of a sync ordered by another server: it locks the LIM's data, which no key may do for
// unlimited time.
const (
	minOrderedRate = 16 << 10 // bytes a second
	maxOrderedWait = 24 * time.Hour
)

// parseSSHCommand parses the command that another server requests. Its first words name mxcluster
// and its folders as that server knows them, and are never executed. The rest must be, word for
// word, what a sync sends.
func parseSSHCommand(text string) (sshCommand, error) {
	refused := fault.New(fault.NotPermitted, "this key is for 'mxcluster sync' alone", "this is not what a sync asks for: %.100q", text)
	if len(text) > maxSSHCommand {
		return sshCommand{}, refused
	}
	for _, r := range text {
		if !strings.ContainsRune(" _./:=@%+-", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return sshCommand{}, refused
		}
	}
	words := strings.Fields(text)
	for i, w := range words {
		switch {
		case i > 0 && w == "xdata" && len(words) == i+2 && words[i+1] == "serve":
			return sshCommand{serve: true}, nil
		case i > 0 && w == "manager" && len(words) == i+2 && words[i+1] == "facts":
			return sshCommand{facts: true}, nil
		case i > 0 && w == "check" && len(words) == i+2 && words[i+1] == "--facts":
			return sshCommand{check: true}, nil
		case i > 0 && w == "check" && len(words) == i+2 && words[i+1] == "--echo":
			return sshCommand{echo: true}, nil
		case i > 0 && w == "sync" && len(words) > i+1:
			c, ok := parseSSHSync(words[i+1:])
			if !ok {
				return c, refused
			}
			return c, nil
		}
	}
	return sshCommand{}, refused
}

// parseSSHSync parses the arguments of a sync that another server requests.
func parseSSHSync(words []string) (c sshCommand, ok bool) {
	c.cluster, words = words[0], words[1:]
	c.sync.direction = string(xdata.DirectionAuto)
	if strings.HasPrefix(c.cluster, "-") {
		return c, false
	}
	for len(words) > 0 {
		flag := words[0]
		words = words[1:]
		switch flag {
		case "--no-input":
			continue
		case "--dry-run":
			c.sync.dryRun = true
			continue
		case "--signs":
			c.sync.signs = true
			continue
		}
		if text, ok := strings.CutPrefix(flag, "--wait="); ok {
			var err error
			if c.sync.wait, err = time.ParseDuration(text); err != nil || c.sync.wait < 0 || c.sync.wait > maxOrderedWait {
				return c, false
			}
			continue
		}
		if len(words) == 0 || strings.HasPrefix(words[0], "-") || !c.setFlag(flag, words[0]) {
			return c, false
		}
		words = words[1:]
	}
	return c, true
}

// setFlag sets a flag with its value.
func (c *sshCommand) setFlag(flag, value string) bool {
	switch flag {
	case "--output":
		return value == string(ui.JSON)
	case "--direction":
		c.sync.direction = value
		return true
	case "--bwlimit":
		c.sync.bwlimit = value
		rate, err := xdata.ParseRate(value)
		return err == nil && (rate == 0 || rate >= minOrderedRate)
	case "--lim":
		n, err := strconv.Atoi(value)
		c.sync.lims = append(c.sync.lims, n)
		return err == nil && n > 0 && n <= clusterconf.MaxLIMNumber
	}
	return false
}
