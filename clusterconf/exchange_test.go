package clusterconf

import (
	"reflect"
	"slices"
	"testing"
)

func TestExchanges(t *testing.T) {
	enter := func(server string, lim int, alias, base string) Exchange {
		return Exchange{server, lim, "eth0", prefix(alias), prefix(base), prefix(alias), DirectionEnter}
	}
	leave := func(server string, lim int, alias, base string) Exchange {
		return Exchange{server, lim, "eth0", prefix(base), prefix(alias), prefix(alias), DirectionLeave}
	}
	in1, in2 := enter("srv1", 1, "10.0.0.11/24", "10.0.0.21/24"), enter("srv2", 2, "10.0.0.12/24", "10.0.0.22/24")
	out1, out2 := leave("srv1", 1, "10.0.0.11/24", "10.0.0.21/24"), leave("srv2", 2, "10.0.0.12/24", "10.0.0.22/24")
	none := func(*Document) {}
	do := func(edits ...func(*Document) error) func(*Document) {
		return func(d *Document) {
			for _, edit := range edits {
				if err := edit(d); err != nil {
					panic(err)
				}
			}
		}
	}
	tests := []struct {
		name         string
		before, edit func(*Document)
		want         []Exchange
	}{
		{"nothing", create, none, nil},
		{"create", none, create, []Exchange{in1, in2}},
		{"add a LIM", createOne, do(func(d *Document) error { return d.AddLIM("c1", 2, "10.0.0.22", 0) }), []Exchange{in2}},
		{"remove a LIM", create, do(func(d *Document) error { return d.RemoveLIM("c1", 1) }), []Exchange{out1}},
		{"remove the last LIM", createOne, do(func(d *Document) error { return d.RemoveLIM("c1", 1) }), []Exchange{out1}},
		{"delete", create, do(func(d *Document) error { return d.DeleteCluster("c1") }), []Exchange{out1, out2}},
		{"to another cluster", createTwo, do(
			func(d *Document) error { return d.RemoveLIM("c1", 1) },
			func(d *Document) error { return d.AddLIM("c2", 1, "10.0.0.21", 0) },
		), nil},
		{"another base", createOne, do(
			func(d *Document) error { return d.RemoveLIM("c1", 1) },
			func(d *Document) error {
				return d.CreateCluster(CreateSpec{Name: "c1", Standby: "sb1", LIMs: []CreateLIM{{1, "10.0.0.31", 0}}})
			},
		), []Exchange{out1, enter("srv1", 1, "10.0.0.11/24", "10.0.0.31/24")}},
		{"settings", create, do(
			func(d *Document) error { return d.ChangeCluster("c1", ChangeSpec{Priorities: map[int]int{1: 7}}) },
			func(d *Document) error { return d.ToStandby("free1") },
			func(d *Document) error { return d.LockLIM(1, SideRegular, testTime, "", "", nil) },
		), nil},
		{"a server comes", none, do(addSrv3), nil},
		{"a server goes", none, do(func(d *Document) error { return d.RemoveServer("srv2") }), nil},
		{"a regular server gets another address by hand", none, func(d *Document) { d.Server("srv1").Base = prefix("10.0.0.91/24") }, nil},
		{"an alias is changed by hand", create, func(d *Document) { d.Cluster("c1").Member(1).Alias = prefix("10.0.0.91/24") }, nil},
		{"the LIM moves by hand", create, func(d *Document) { d.Server("srv1").LIM, d.Server("free1").LIM = 0, 1 }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := uncreated()
			test.before(before)
			after := before.Clone()
			test.edit(after)
			if got := Exchanges(before, after); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
			// The way back is the way there, reversed.
			var back []Exchange
			for _, e := range slices.Backward(test.want) {
				back = append(back, e.Reversed())
			}
			slices.SortStableFunc(back, func(a, b Exchange) int { return a.LIM - b.LIM })
			if got := Exchanges(after, before); !reflect.DeepEqual(got, back) {
				t.Errorf("back: got  %+v\nwant %+v", got, back)
			}
		})
	}
}
