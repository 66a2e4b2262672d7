package commands

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
)

// newAgentOwnCommand returns `agent own`.
func newAgentOwnCommand(a *app) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "own",
		Short: "Give the agent's folders to the user that it runs as",
		Long: `Agent own gives the configuration folder and the state folder, with the files in them,
to root, or to the user mxcluster, as which the agent may run where the software of LIMs
is systemd:UNIT alone. Its units do so before the agent starts; data versions stay whose
they are. The user mxcluster gets nothing while a LIM that this server may run has other
software. Where the folders are that user's, what root starts of this program acts as
that user.`,
		Example:     "  mxcluster agent own --user mxcluster\n  mxcluster agent own --user root",
		Annotations: exits(fault.Refused, fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(*cobra.Command, []string) error {
			return runAgentOwn(a, name)
		},
	}
	c.Flags().StringVar(&name, "user", "root", "`name` of the user: root or "+settings.OwnUser)
	asRoot(c)
	return c
}

func runAgentOwn(a *app, name string) error {
	if name != "root" && name != settings.OwnUser {
		return fault.New(fault.Usage, "use root or "+settings.OwnUser, "--user: bad value %q", name)
	}
	u, err := user.Lookup(name)
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "run 'systemd-sysusers', which makes it by sysusers.d/mxcluster.conf", "giving the agent's folders away")
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	xdata := ""
	if owner, ok := settings.Owner(dirs.Config); !ok || owner != uid {
		// By settings that a user may change nothing is given to that user.
		s, err := a.serverBy(uid == 0)
		if err != nil {
			return err
		}
		xdata = s.settings.XDataDir
		if doc, err := s.read(); err == nil && uid != 0 {
			if err := unitsAlone(doc, s.settings.Server); err != nil {
				return err
			}
		}
	}
	r := result{Text: "the agent's folders are " + name + "'s"}
	if r.Changed, err = dirs.HandOver(uid, gid, xdata); err != nil {
		return err
	}
	if !r.Changed {
		r.Text += " already"
	}
	return a.done(r)
}

// unitsAlone refuses software that the agent's own user could not start: a LIM that runs
// would count as failed.
func unitsAlone(doc *clusterconf.Document, server string) error {
	for _, l := range doc.LIMs {
		regular, cluster := doc.RegularOf(l.Number), doc.ClusterOfLIM(l.Number)
		here := regular != nil && regular.Name == server
		if !here && (cluster == nil || cluster.Standby != server) {
			continue
		}
		for _, service := range l.Services {
			if !strings.HasPrefix(service.Run, "systemd:") && (here || !service.RegularOnly) {
				return fault.New(fault.Refused, "let the agent run as root: remove own-user.conf from its unit; or make the software a unit, systemd:UNIT",
					"the software of LIM %d is %s, and user %s starts units of systemd alone", l.Number, service.Run, settings.OwnUser)
			}
		}
	}
	return nil
}

// asRoot marks a command that stays root's where the folders are another user's.
func asRoot(c *cobra.Command) {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[rootsOwn] = ""
}

const rootsOwn = "rootsOwn"

// actAsOwner has root act as the agent's own user where the folders are that user's: it
// starts the program anew, and does not return then.
func (a *app) actAsOwner(c *cobra.Command) error {
	if _, stays := c.Annotations[rootsOwn]; stays || a.env.ActAs == nil {
		return nil
	}
	owner, own, err := a.ownedByUser()
	if err != nil || !own {
		return err
	}
	if err := a.env.ActAs(owner); err != nil {
		return fmt.Errorf("acting as user %s, whose the folders are: %w", settings.OwnUser, err)
	}
	return nil
}

// ownedByUser tells whether the folders are the agent's own user's, and who that is. Those
// of other users than that and root are refused where settings are read.
func (a *app) ownedByUser() (uid int, own bool, err error) {
	dirs, err := a.dirs()
	if err != nil {
		return 0, false, err
	}
	uid, ok := settings.Owner(dirs.Config)
	if !ok || uid == 0 {
		return 0, false, nil
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	return uid, err == nil && u.Username == settings.OwnUser, nil
}
