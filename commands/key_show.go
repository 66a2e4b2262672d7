package commands

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
	"mxcluster/internal/ui"
)

// keyList is the answer of `key show -o json`.
type keyList struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // KeyList
	control.KeyInfo
}

// newKeyShowCommand returns `key show`.
func newKeyShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show which servers have which gossip key",
		Long: `Key show lists the gossip key that each server uses, and which others it accepts,
by their fingerprints, as the agents said last; and of a rotation, what it waits
for. Without an agent here it shows this server's own keys.`,
		Example:     "  mxcluster key show\n  mxcluster key show -o json",
		Annotations: exits(fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runKeyShow(c.Context(), a)
		},
	}
}

func runKeyShow(ctx context.Context, a *app) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	info, err := s.agent.Keys(ctx)
	if fault.CodeOf(err) == fault.Unreachable && !s.agent.Running(ctx) {
		info, err = ownKeys(s)
	}
	if err != nil {
		return fmt.Errorf("showing the gossip keys: %w", err)
	}
	if err := a.out.Show(keyView(info)); err != nil {
		return err
	}
	if waits := info.Waiting(); waits != "" && !a.out.Machine() {
		a.out.Note("the rotation to %s is %s; it waits for %s", info.Target, info.Stage, waits)
	}
	return nil
}

// ownKeys are those in this server's file.
func ownKeys(s *server) (*control.KeyInfo, error) {
	keys, err := settings.LoadKeys(s.dirs.GossipKey())
	if err != nil {
		return nil, err
	}
	info := &control.KeyInfo{Server: s.settings.Server, Stage: control.KeysUnknown, Target: keys[0].Fingerprint()}
	for _, key := range keys {
		info.Keys = append(info.Keys, control.NewKeyState(key.Fingerprint(), key.Made))
	}
	info.Servers = []control.ServerKeys{{Server: s.settings.Server, Primary: info.Target, Accepted: keys.Fingerprints()}}
	return info, nil
}

func keyView(info *control.KeyInfo) ui.View {
	v := ui.View{
		Object:  keyList{clusterconf.APIVersion, "KeyList", *info},
		Columns: []ui.Column{{Head: "SERVER"}, {Head: "USES"}, {Head: "ACCEPTS TOO"}, {Head: "ROTATION"}},
	}
	for _, s := range info.Servers {
		others := ""
		if len(s.Accepted) > 1 {
			others = strings.Join(s.Accepted[1:], " ")
		}
		uses, how := s.Primary, s.Behind
		if uses == "" {
			uses = "unknown"
		}
		if how != "" {
			how = "waits: " + how
		}
		v.Rows = append(v.Rows, []string{s.Server, uses, others, how})
		v.Names = append(v.Names, s.Server)
	}
	return v
}
