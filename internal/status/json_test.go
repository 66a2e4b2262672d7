package status

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// takeover is `status -o json` after srv1 lost power, in the contract's shape.
const takeover = `{
 "apiVersion": "mxcluster/v1",
 "kind": "ClusterStatus",
 "generatedAt": "2026-03-01T02:00:00Z",
 "observer": "sb1",
 "agent": true,
 "revision": 6,
 "health": "warning",
 "clusters": [
  {
   "name": "c1",
   "health": "warning",
   "splitBrain": false,
   "lims": [
    {
     "lim": 1,
     "activeOn": "sb1",
     "side": "standby",
     "state": "running",
     "term": 3,
     "since": "2026-03-01T00:59:00Z",
     "reason": "srv1 is down",
     "next": "stays until 'mxcluster fallback 1'",
     "preload": null,
     "lock": null,
     "waiting": false,
     "fallback": {
      "type": "manual",
      "ready": false,
      "blockedBy": [
       "srv1 is down"
      ],
      "heldForMs": 0
     },
     "alias": {
      "address": "10.0.0.11/24",
      "holders": [
       {
        "server": "srv1",
        "present": null,
        "blocked": null,
        "probed": null
       },
       {
        "server": "sb1",
        "present": true,
        "blocked": false,
        "probed": null
       }
      ],
      "foreignMac": null,
      "lastAnnounced": "2026-03-01T01:59:59Z",
      "announceError": null
     },
     "data": {
      "newest": "xdata_1_20260301010000",
      "newestOn": "standby",
      "inSync": null,
      "ageMs": 3600000,
      "conflict": null,
      "behindMs": null,
      "nextSyncAt": null,
      "damaged": []
     },
     "arbiter": null,
     "remedy": {
      "what": "once srv1 is up again",
      "command": "mxcluster fallback 1"
     },
     "redundant": false,
     "redundantWhy": "srv1 is down",
     "takeoverMs": null,
     "cause": {
      "what": "failed",
      "by": "",
      "reason": "srv1 was down",
      "at": "2026-03-01T00:59:00Z"
     },
     "lastSplitBrain": null,
     "rehearsal": null
    }
   ],
   "servers": [
    {
     "name": "sb1",
     "role": "standby",
     "reachable": true,
     "silentMs": 40,
     "revision": 6,
     "clockOffsetMs": 0,
     "arbiter": null,
     "ready": null,
     "readyWhy": "",
     "drained": null,
     "address": "10.0.0.13/24",
     "version": "1.2.3",
     "levels": {
      "document": 2,
      "gossip": 2,
      "control": 2,
      "transfer": 7
     },
     "agent": true
    },
    {
     "name": "srv1",
     "role": "regular",
     "reachable": false,
     "silentMs": 41250,
     "revision": 6,
     "clockOffsetMs": null,
     "arbiter": null,
     "ready": false,
     "readyWhy": "nothing is heard of it",
     "drained": null,
     "address": "10.0.0.21/24",
     "version": null,
     "levels": {
      "document": 2,
      "gossip": 2,
      "control": 2,
      "transfer": 7
     },
     "agent": false
    }
   ],
   "alarms": [],
   "redundant": false,
   "redundantWhy": "LIM 1: srv1 is down",
   "frozen": null
  }
 ],
 "unclustered": [],
 "alarms": [],
 "redundant": false,
 "redundantWhy": "cluster c1: LIM 1: srv1 is down"
}`

func TestStatusJSON(t *testing.T) {
	mine := withData(running(3, "srv1 is down"), newer())
	mine.BlockedBy = []string{"srv1 is down"}
	mine.Promise = promise(false, "srv1 is down")
	// Times are in UTC wherever the clock is.
	mine.Since = mine.Since.In(time.FixedZone("CET", 3600))
	mine.Serving = mine.Since.Add(-time.Hour) // its agent was started anew since
	mine.Cause = &failover.Cause{What: failover.ByFailure, Reason: failover.Past("srv1 is down"), At: mine.Serving}
	theirs := withData(running(2, "runs on its regular server"), older())
	sb1 := saying(mine)
	sb1.Claim.Version = "1.2.3"
	doc := parsed(t)
	doc.Clusters, doc.Servers = doc.Clusters[:1], slices.DeleteFunc(doc.Servers, func(s clusterconf.Server) bool { return s.LIM > 1 })
	doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
	st := Build(Input{Now: testTime(), Observer: "sb1", Document: doc, Servers: map[string]Seen{"srv1": saying(theirs).now(failover.Gone), "sb1": sb1}})
	got, err := json.MarshalIndent(st, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(takeover, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestKeys pins the names of the parts that no status of this version fills.
func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value any
		want  []string
	}{
		{"alarm", Alarm{}, []string{"expected", "handle", "lim", "name", "noticed", "raisedAt", "server", "severity", "text"}},
		{"maintenance", Maintenance{}, []string{"by", "reason", "since", "until"}},
		{"takeover", StatusTakeover{}, []string{"detect", "lease", "start"}},
		{"split", StatusSplit{}, []string{"began", "ended", "servers"}},
		{"lock", Lock{}, []string{"by", "expires", "reason", "since", "to"}},
		{"list", ClusterList{}, []string{"apiVersion", "clusters", "hash", "kind", "revision"}},
		{"cluster of a list", ListCluster{}, []string{"failover", "failoverAfterMs", "fallback", "fallbackWindow", "frozen", "lims", "name", "rehearse", "splitBrainStop", "standby"}},
		{"LIM of a list", ListLIM{}, []string{"alias", "base", "interface", "lim", "lock", "priority", "regular"}},
	} {
		text, err := json.Marshal(tt.value)
		if err != nil {
			t.Fatal(err)
		}
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for key := range object {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if diff := cmp.Diff(tt.want, keys); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
