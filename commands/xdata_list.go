package commands

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
	"mxcluster/xdata"
)

// versionList is the answer of `xdata list -o json`.
type versionList struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"` // VersionList
	Versions   []xdata.Version `json:"versions"`
}

// newXdataListCommand returns `xdata list`.
func newXdataListCommand(a *app) *cobra.Command {
	var lim int
	c := &cobra.Command{
		Use:   "list",
		Short: "List the data versions on this server",
		Long: `Xdata list shows the data versions on this server, the newest of each LIM first.
What is wrong with a damaged one is in the column DAMAGE.

A version that another program makes counts as complete when nothing has changed
in it for the setting xdata.still (30s), or for as long as the program took from
the first file to the last of any of its last three versions; until then the
column COMPLETE says when that will be. It counts at once when the program writes
a file .mxcluster-complete into the version's folder, which is not part of the
version. Versions of 'mxcluster xdata backup' count at once.`,
		Example:     "  mxcluster xdata list\n  mxcluster xdata list --lim 1 -o json",
		Annotations: exits(fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(*cobra.Command, []string) error { return runXdataList(a, lim) },
	}
	c.Flags().IntVar(&lim, "lim", 0, "`number` of a LIM to show alone")
	return c
}

// runXdataList shows what lies here; the other side is asked by `sync` alone.
func runXdataList(a *app, lim int) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	if lim < 0 || lim > clusterconf.MaxLIMNumber {
		return fault.New(fault.Usage, "give the number of a LIM", "--lim: %d is not a LIM number", lim)
	}
	versions, err := s.versions().List(lim)
	if err != nil {
		return err
	}
	if lim != 0 && len(versions) == 0 {
		if err := s.knowsLIM(lim); fault.CodeOf(err) == fault.NotFound {
			return fmt.Errorf("listing versions: %w", err)
		}
	}
	return a.out.Show(versionView(versions))
}

// versionView shows one line for each version.
func versionView(versions []xdata.Version) ui.View {
	v := ui.View{
		Object: versionList{APIVersion: clusterconf.APIVersion, Kind: "VersionList", Versions: versions},
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "VERSION"}, {Head: "NEWEST-FILE"}, {Head: "FILES", Right: true},
			{Head: "BYTES", Right: true}, {Head: "COMPLETE"}, {Head: "VERIFIED"},
			{Head: "DAMAGE", Wide: !slices.ContainsFunc(versions, func(x xdata.Version) bool { return x.Damage != "" })}, {Head: "REASON", Wide: true}},
		Empty: "there is no data version here; 'mxcluster xdata backup' makes one",
	}
	for _, x := range versions {
		v.Rows = append(v.Rows, []string{
			strconv.Itoa(x.LIM), x.Name, x.NewestMtime.UTC().Format(time.RFC3339), strconv.Itoa(x.Files),
			strconv.FormatInt(x.Bytes, 10), stateOfVersion(x), sinceWords(x.Verified), x.Damage, x.Reason,
		})
		v.Names = append(v.Names, x.Name)
	}
	return v
}

// stateOfVersion tells whether a version can be relied on.
func stateOfVersion(v xdata.Version) string {
	if v.Damage != "" {
		return "damaged"
	}
	if v.WritingUntil != nil {
		return "at " + v.WritingUntil.UTC().Format(time.RFC3339)
	}
	return yesNo(v.Complete)
}
