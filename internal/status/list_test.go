package status

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/fault"
)

// twoClusters has LIM 3 in a preloaded cluster c2.
const twoClusters = clusterconftest.OneCluster + `  - name: c2
    standby: sb2
    fallback: automatic
    failover: preloaded
    splitBrainStop: standby
    lims:
      - {lim: 3, alias: 10.0.0.33/24, priority: 100}
`

func parsed(t *testing.T) *clusterconf.Document {
	t.Helper()
	doc, err := clusterconf.Parse("test", []byte(twoClusters))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestList(t *testing.T) {
	doc := parsed(t)
	want := &ClusterList{
		APIVersion: "mxcluster/v1", Kind: "ClusterList", Revision: 6, Hash: clusterconf.Hash(doc),
		Clusters: []ListCluster{
			{
				Name: "c1", Standby: "sb1", Fallback: "manual", Failover: "normal", FailoverAfterMs: 10000, SplitBrainStop: "regular", FallbackWindow: "always", Rehearse: "off",
				LIMs: []ListLIM{
					{LIM: 1, Regular: "srv1", Base: "10.0.0.21/24", Alias: "10.0.0.11/24", Interface: "eth0", Priority: 100},
					{LIM: 2, Regular: "srv2", Base: "10.0.0.22/24", Alias: "10.0.0.12/24", Interface: "eth0", Priority: 50},
				},
			},
			{
				Name: "c2", Standby: "sb2", Fallback: "automatic", Failover: "preloaded", FailoverAfterMs: 1000, SplitBrainStop: "standby", FallbackWindow: "always", Rehearse: "off",
				LIMs: []ListLIM{{LIM: 3, Regular: "srv3", Base: "10.0.0.16/24", Alias: "10.0.0.33/24", Interface: "eth0", Priority: 100}},
			},
		},
	}
	if diff := cmp.Diff(want, List(doc, testTime())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Scripts that loop over a list must not meet null.
func TestListsAreNeverNull(t *testing.T) {
	doc := parsed(t)
	doc.Clusters = nil
	st := offline(doc, "srv1", nil).Status()
	for _, v := range []any{List(doc, testTime()), st} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"clusters":[]`) {
			t.Errorf("%s", text)
		}
	}
}

func TestOnly(t *testing.T) {
	for _, tc := range []struct {
		name     string
		lims     []int
		clusters string // what is left
		err      string
		hint     string
	}{
		{"", nil, "c1: 1 2; c2: 3", "", ""},
		{"c1", nil, "c1: 1 2", "", ""},
		{"c1", []int{2}, "c1: 2", "", ""},
		{"", []int{3}, "c2: 3", "", ""},
		{"", []int{1, 3}, "c1: 1; c2: 3", "", ""},
		{"c3", nil, "", `there is no cluster "c3"`, "did you mean c1?"},
		{"hotel", nil, "", `there is no cluster "hotel"`, "mxcluster list"},
		{"c1", []int{3}, "", "no cluster c1 has a LIM 3", "mxcluster list"},
		{"", []int{4}, "", "no cluster has a LIM 4", "mxcluster list"},
	} {
		st := offline(parsed(t), "srv1", nil).Status()
		err := st.Only(tc.name, tc.lims)
		if tc.err != "" {
			if err == nil || err.Error() != tc.err || fault.HintOf(err) != tc.hint || fault.CodeOf(err) != fault.NotFound {
				t.Errorf("%q %v: error %v (%s)", tc.name, tc.lims, err, fault.HintOf(err))
			}
			continue
		}
		var words []string
		for _, c := range st.Clusters {
			text := c.Name + ":"
			for _, l := range c.LIMs {
				text += " " + string(rune('0'+l.LIM))
			}
			words = append(words, text)
		}
		if got := strings.Join(words, "; "); err != nil || got != tc.clusters {
			t.Errorf("%q %v: %s (%v), want %s", tc.name, tc.lims, got, err, tc.clusters)
		}
	}
	l := List(parsed(t), testTime())
	if err := l.Only("c2"); err != nil || len(l.Clusters) != 1 || l.Clusters[0].Name != "c2" {
		t.Errorf("%v, %v", l.Clusters, err)
	}
	if err := l.Only("c1"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("error %v", err)
	}
}

func TestStatusLIM(t *testing.T) {
	st := offline(parsed(t), "srv1", nil).Status()
	if l := st.LIM(3); l == nil || l.LIM != 3 {
		t.Errorf("LIM 3: %v", l)
	}
	if l := st.LIM(4); l != nil {
		t.Errorf("LIM 4: %v", l)
	}
}

func testTime() time.Time { return time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC) }
