package clusterconf

import (
	"reflect"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// The redundancy of the management system is read as it was written, told in the difference,
// copied deep, and goes back with an earlier document; without it a document has no word of it.
func TestManagementSystemIsKept(t *testing.T) {
	d := mustParse(t, full)
	if strings.Contains(string(Encode(d)), "management") {
		t.Error("a document without it has a word of it")
	}
	before := d.Clone()
	if err := d.SetManagement(*managed("10.0.0.40/24")); err != nil {
		t.Fatal(err)
	}
	back, err := Parse("test", Encode(d))
	if err != nil || !reflect.DeepEqual(back.Management, d.Management) {
		t.Fatalf("%+v, %v", back, err)
	}
	lines := strings.Join(Diff(before, d), "\n")
	if lines != "level: 1 -> 2\nmanagement system: none -> reached at 10.0.0.40/24, replicated by role mxone_replication, asynchronous, fallback manual" {
		t.Errorf("%s", lines)
	}
	if Freeze(before).sameContent(Freeze(d)) {
		t.Error("it is no change")
	}
	c := d.Clone()
	c.Management.Synchronous = true
	if d.Management.Synchronous {
		t.Error("a copy shares it")
	}
	if err := d.Restore(before); err != nil || d.Management != nil {
		t.Errorf("%+v, %v", d.Management, err)
	}
	if err := uncreated().SetManagement(*managed("10.0.0.40/24")); fault.CodeOf(err) != fault.Refused {
		t.Errorf("without a cluster: %v", err)
	}
}
