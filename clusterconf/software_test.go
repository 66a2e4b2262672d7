package clusterconf

import (
	"net/netip"
	"reflect"
	"testing"

	"mxcluster/internal/fault"
)

func media(lim int, kind MediaServerKind, addresses ...string) func(*Document) error {
	var a [2]netip.Addr
	for i, text := range addresses {
		a[i] = addr(text)
	}
	return func(d *Document) error { return d.SetMediaServer(lim, MediaServer{kind, a[0], a[1], ""}) }
}

func TestSetMediaServer(t *testing.T) {
	tests := []struct {
		name   string
		before func(*Document)
		edit   func(*Document) error
		want   *MediaServer
	}{
		{"standalone", create, media(1, MediaServerStandalone, "10.0.9.1", "10.0.9.2"), &MediaServer{MediaServerStandalone, addr("10.0.9.1"), addr("10.0.9.2"), ""}},
		{"co-located", create, media(1, MediaServerColocated, "10.0.0.11", "10.0.0.11"), &MediaServer{MediaServerColocated, addr("10.0.0.11"), addr("10.0.0.11"), ""}},
		{"co-located, by default at the alias", create, media(1, MediaServerColocated), &MediaServer{MediaServerColocated, addr("10.0.0.11"), addr("10.0.0.11"), ""}},
		{"outside a cluster by default at the base", nil, media(1, MediaServerColocated), &MediaServer{MediaServerColocated, addr("10.0.0.11"), addr("10.0.0.11"), ""}},
		{"outside a cluster at any address", nil, media(1, MediaServerColocated, "10.0.9.1"), &MediaServer{MediaServerColocated, addr("10.0.9.1"), addr("10.0.0.11"), ""}},
		{"none", nil, media(1, MediaServerNone), nil},
		{"no longer", func(d *Document) { d.LIMs = []LIM{{Number: 1, MediaServer: &MediaServer{Kind: MediaServerColocated}}} }, media(1, MediaServerNone), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := uncreated()
			if test.before != nil {
				test.before(d)
			}
			apply(t, d, test.edit)
			switch got := d.LIM(1); {
			case test.want == nil && got != nil:
				t.Errorf("got %+v", got)
			case test.want != nil && (got == nil || !reflect.DeepEqual(got.MediaServer, test.want)):
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestSetMediaServerRefusals(t *testing.T) {
	refusals(t, []editTest{
		{"kind", create, media(1, "beside"), fault.Usage, `"beside" is not a kind of media server`, "none, colocated or standalone"},
		{"none with addresses", create, media(1, MediaServerNone, "10.0.9.1"), fault.Usage, "LIM 1 can have no media server and addresses of one", "leave out"},
		{"LIM number", create, media(0, MediaServerColocated), fault.Usage, "LIM number 0", ""},
		{"LIM number for none", create, media(0, MediaServerNone), fault.Usage, "LIM number 0", ""},
		{"no such LIM", create, media(3, MediaServerColocated), fault.NotFound, "there is no LIM 3", "LIM 1, 2"},
		{"no such LIM for none", create, media(3, MediaServerNone), fault.NotFound, "there is no LIM 3", "LIM 1, 2"},
		{"standalone without addresses", create, media(1, MediaServerStandalone), fault.Usage, "the media server of LIM 1 has no media address", "--media-address"},
		{"standalone without control address", create, media(1, MediaServerStandalone, "10.0.9.1"), fault.Usage, "has no control address", "--control-address"},
		{"no host", create, media(1, MediaServerStandalone, "10.0.9.1", "224.0.0.1"), fault.Usage, "the control address 224.0.0.1 is a multicast address", "address of a host"},
		{"co-located at the base", create, media(1, MediaServerColocated, "10.0.0.21", "10.0.0.11"), fault.Refused, "co-located, its media address must be the LIM's alias, 10.0.0.11, not 10.0.0.21", "give 10.0.0.11"},
		{"standalone at an alias", create, media(1, MediaServerStandalone, "10.0.9.1", "10.0.0.12"), fault.Refused, "its control address 10.0.0.12 is the alias of LIM 2", "colocated"},
	})
}

func TestSetGateways(t *testing.T) {
	d := uncreated()
	ids := []string{"1B", "1A"}
	apply(t, d, func(d *Document) error { return d.SetGateways(1, ids) })
	if got := d.LIM(1); got == nil || !reflect.DeepEqual(got.Gateways, []string{"1A", "1B"}) || ids[0] != "1B" {
		t.Errorf("got %+v of %v", got, ids)
	}
	apply(t, d, func(d *Document) error { return d.SetGateways(1, nil) })
	if got := d.LIM(1); got != nil {
		t.Errorf("got %+v", got)
	}
	set := func(lim int, ids ...string) func(*Document) error {
		return func(d *Document) error { return d.SetGateways(lim, ids) }
	}
	refusals(t, []editTest{
		{"identity", nil, set(1, "1A", "1 B"), fault.Usage, `gateway identity "1 B" is not valid`, "use letters"},
		{"twice", nil, set(1, "1A", "1B", "1A"), fault.Usage, "gateway 1A is given twice", "once"},
		{"LIM number", nil, set(1000, "1A"), fault.Usage, "LIM number 1000", ""},
		{"no such LIM", nil, set(3, "1A"), fault.NotFound, "there is no LIM 3", "LIM 1, 2"},
	})
}

// Each part of a LIM's entry is set without a loss to the others.
func TestSetSoftwareKeepsTheRest(t *testing.T) {
	d := uncreated()
	edits := []func(*Document) error{
		func(d *Document) error { return d.SetServices(1, []Service{{Run: "exec:/opt/lim"}}) },
		media(1, MediaServerColocated),
		func(d *Document) error { return d.SetGateways(1, []string{"1A"}) },
	}
	for range 2 {
		for _, edit := range edits {
			apply(t, d, edit)
		}
	}
	want := &LIM{Number: 1, Services: []Service{{Run: "exec:/opt/lim"}}, Gateways: []string{"1A"},
		MediaServer: &MediaServer{MediaServerColocated, addr("10.0.0.11"), addr("10.0.0.11"), ""}}
	if got := d.LIM(1); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	apply(t, d, func(d *Document) error { return d.SetServices(1, nil) })
	if got := d.LIM(1); got == nil || got.MediaServer == nil || len(got.Gateways) != 1 {
		t.Errorf("got %+v", got)
	}
}

// The address of a co-located media server is that of the LIM, which it keeps
// on its way into a cluster and out of it.
func TestMediaServerGoesThroughClusters(t *testing.T) {
	d := uncreated()
	apply(t, d, media(1, MediaServerColocated))
	before := string(Encode(d))
	create(d)
	mustHold(t, d)
	if err := d.RemoveLIM("c1", 1); err != nil {
		t.Fatal(err)
	}
	mustHold(t, d)
	if err := d.AddLIM("c1", 1, "10.0.0.21", 100); err != nil {
		t.Fatal(err)
	}
	mustHold(t, d)
	if err := d.DeleteCluster("c1"); err != nil {
		t.Fatal(err)
	}
	if got := string(Encode(d)); got != before {
		t.Errorf("got\n%s\nwant\n%s", got, before)
	}
	refusals(t, []editTest{
		{"create with another address", func(d *Document) {
			d.LIMs = []LIM{{Number: 1, MediaServer: &MediaServer{MediaServerColocated, addr("10.0.0.21"), addr("10.0.0.11"), ""}}}
		}, func(d *Document) error { return d.CreateCluster(both()) }, fault.Refused,
			"cannot create cluster c1: the media address of the co-located media server of LIM 1 is 10.0.0.21, not 10.0.0.11, which will be its alias", "mxcluster lim set 1 --media-server colocated"},
	})
}
