package clusterconf

import (
	"slices"
	"testing"
)

// Secrets in the document are found by the names of parameters, and values in files are none.
func TestExposedParameters(t *testing.T) {
	for run, want := range map[string][]string{
		"ocf:heartbeat:pgsql,rep_mode=sync,repuser=r,replpassword=x1,pgpassword=file:/etc/pg": {"replpassword"},
		"ocf:heartbeat:x,API_TOKEN=abc,keyfile=/etc/k,key=abc,secret=":                        {"API_TOKEN", "key"},
		"ocf:heartbeat:IPaddr2,ip=10.0.0.1":                                                   nil,
		"exec:/opt/pass,password=x":                                                           nil,
		"systemd:x.service":                                                                   nil,
	} {
		if got := (Service{Run: run}).Exposed(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", run, got, want)
		}
	}
}
