package clusterconf

import (
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// TestPreloadingEndsByDeletingOnly tries to end it by editing the document and by going
// back to an earlier one.
func TestPreloadingEndsByDeletingOnly(t *testing.T) {
	preloaded := large(1)
	name := preloaded.Clusters[0].Name
	for what, tt := range map[string]struct {
		change  func(d *Document)
		refused string // "": it is not
	}{
		"something else":  {func(d *Document) { d.Clusters[0].Fallback = FallbackAutomatic }, ""},
		"not preloaded":   {func(d *Document) { d.Clusters[0].Failover = FailoverNormal }, "would not be preloaded any more"},
		"gone":            {func(d *Document) { d.Clusters = nil }, "would be gone"},
		"another standby": {func(d *Document) { d.Clusters[0].Standby = "other" }, "another LIM or standby"},
		"another LIM":     {func(d *Document) { d.Clusters[0].LIMs[0].LIM = 99 }, "another LIM or standby"},
	} {
		for how, replace := range map[string]func(d, next *Document) error{
			"rollback": (*Document).Restore, "edit": (*Document).ReplaceWith,
		} {
			next, d := preloaded.Clone(), preloaded.Clone()
			tt.change(next)
			err := replace(d, next)
			switch {
			case tt.refused == "" && err != nil:
				t.Errorf("%s, %s: %v", what, how, err)
			case tt.refused == "":
			case fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(fault.HintOf(err), "mxcluster delete "+name):
				t.Errorf("%s, %s: %v, code %d, hint %q", what, how, err, fault.CodeOf(err), fault.HintOf(err))
			case d.Cluster(name) == nil || d.Clusters[0].Failover != FailoverPreloaded:
				t.Errorf("%s, %s: refused, and yet changed", what, how)
			}
		}
	}
	// A cluster that is to be preloaded is no matter.
	d := preloaded.Clone()
	d.Clusters[0].Failover = FailoverNormal
	if err := d.Restore(preloaded); err != nil {
		t.Errorf("preloading by an edit: %v", err)
	}
}
