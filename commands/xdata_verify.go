package commands

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
	"mxcluster/xdata"
)

// verifyReport is the answer of `xdata verify -o json`.
type verifyReport struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"` // VerifyReport
	Versions   []xdata.Finding `json:"versions"`
}

// newXdataVerifyCommand returns `xdata verify`.
func newXdataVerifyCommand(a *app) *cobra.Command {
	var lim int
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read data versions and hold them against their hashes",
		Long: `Xdata verify reads the data versions on this server from end to end and compares
every file with the hash that was kept when the version was made or received.
A damaged version is named with its files, is from then on neither copied nor
started on, and makes the exit code 7. 'mxcluster sync' brings a good one back
if the other side has it. Hashes of a version of another program are kept when
it is first read. What is found is kept beside the versions, goes with them when
they are copied, and is kept in the state folder where nothing can be written there.`,
		Example:     "  mxcluster xdata verify\n  mxcluster xdata verify --lim 1 -o json",
		Annotations: exits(fault.NotFound, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(c *cobra.Command, _ []string) error { return runXdataVerify(c.Context(), a, lim) },
	}
	c.Flags().IntVar(&lim, "lim", 0, "`number` of a LIM to verify alone")
	return c
}

// runXdataVerify goes on with the rest when one cannot be read.
func runXdataVerify(ctx context.Context, a *app, lim int) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	store := s.versions()
	versions, err := someVersions(store, lim)
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	bar := a.progress("verifying", totalBytes(versions))
	report := verifyReport{APIVersion: clusterconf.APIVersion, Kind: "VerifyReport", Versions: []xdata.Finding{}}
	var errs []error
	for _, v := range versions {
		f, err := store.Verify(ctx, v, bar.Add)
		if ctx.Err() != nil {
			bar.Close()
			return err
		}
		if fault.CodeOf(err) == fault.NotFound {
			continue // pruned meanwhile
		}
		if err == nil {
			report.Versions = append(report.Versions, f)
			err = f.Failure()
		}
		errs = append(errs, err)
	}
	bar.Close()
	s.tellData(ctx)
	if err := a.showUnlessQuiet(report.view()); err != nil {
		return err
	}
	return a.withoutHint(joinErrors(errors.Join(errs...), ""))
}

// someVersions lists the versions of a LIM, which must have some, or all for 0.
func someVersions(store *xdata.Store, lim int) ([]xdata.Version, error) {
	if lim < 0 || lim > clusterconf.MaxLIMNumber {
		return nil, fault.New(fault.Usage, "give the number of a LIM", "--lim: %d is not a LIM number", lim)
	}
	versions, err := store.List(lim)
	if err == nil && lim != 0 && len(versions) == 0 {
		err = fault.New(fault.NotFound, "'mxcluster xdata list' shows those there are", "LIM %d has no data version here", lim)
	}
	return versions, err
}

func totalBytes(versions []xdata.Version) (sum int64) {
	for _, v := range versions {
		sum += v.Bytes
	}
	return sum
}

// view shows one line for each version.
func (r *verifyReport) view() ui.View {
	v := ui.View{
		Object: r,
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "VERSION"}, {Head: "RESULT"}, {Head: "FILES", Right: true},
			{Head: "BYTES", Right: true}, {Head: "DAMAGE"}},
		Empty: "there is no data version here",
	}
	for _, f := range r.Versions {
		v.Rows = append(v.Rows, []string{strconv.Itoa(f.LIM), f.Name, string(f.Result), strconv.Itoa(f.Files),
			strconv.FormatInt(f.Bytes, 10), strings.Join(f.Damage, "; ")})
		v.Names = append(v.Names, f.Name)
	}
	return v
}
