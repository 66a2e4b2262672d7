package clusterconf

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// keysOfOthers puts a key of others into each place of a document, or finds those that are there.
func keysOfOthers(d *Document, put bool) (all []string) {
	var visit func(v reflect.Value, in string)
	visit = func(v reflect.Value, in string) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				visit(v.Elem(), in)
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i), fmt.Sprintf("%s-%d", in, i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				field, name := v.Field(i), v.Type().Field(i).Name
				if !v.Type().Field(i).IsExported() {
					continue
				}
				f, is := field.Interface().(Foreign)
				switch {
				case !is && isMapping(v):
					visit(field, in+"-"+name)
				case is && put:
					f = Foreign(fmt.Sprintf("x-here%s: %d\n", in, len(all)))
					field.Set(reflect.ValueOf(f))
					all = append(all, f.text())
				case is && f != "":
					all = append(all, f.text())
				}
			}
		}
	}
	visit(reflect.ValueOf(d).Elem(), "")
	return all
}

// Each edit keeps the keys of others, but for those of what it removes.
func TestEditsKeepKeysOfOthers(t *testing.T) {
	begin := mustParse(t, full)
	m := begin.Clusters[0].Member(1)
	m.Leaving, m.Dead = false, ""
	now := testTime
	for _, edit := range []error{
		begin.DrainServer("srv2", now, "ann", "", nil, false), begin.FreezeCluster("c1", now, "ann", "", nil), begin.SetRehearsable(1, true),
		begin.SetManagement(Management{Address: prefix("10.0.0.15/24"), ReplicationUser: "mxone", Fallback: FallbackManual}),
	} {
		if edit != nil {
			t.Fatal(edit)
		}
	}
	put := keysOfOthers(begin, true)
	window, err := ParseWindow("02:00-04:00")
	if err != nil || len(put) < 15 {
		t.Fatal(err, put)
	}
	priority := map[int]int{1: 5}
	for name, tt := range map[string]struct {
		edit  func(d *Document) error
		loses int
	}{
		"server add": {func(d *Document) error {
			return d.AddServer(Server{Name: "a", Base: prefix("10.0.0.9/24"), Interface: "eth0"})
		}, 0},
		"server to-standby":   {func(d *Document) error { return d.ToStandby("free1") }, 0},
		"server set":          {func(d *Document) error { return d.SetServer("free1", "eth7", "10.0.0.19/24") }, 0},
		"server remove":       {func(d *Document) error { return d.RemoveServer("free1") }, 1},
		"server drain":        {func(d *Document) error { return d.DrainServer("srv2", now.Add(time.Hour), "bob", "again", nil, false) }, 0},
		"server undrain":      {func(d *Document) error { return d.UndrainServer("srv2") }, 1},
		"server leave-behind": {func(d *Document) error { return d.LeaveBehind("srv2", true) }, 0},
		"change": {func(d *Document) error {
			return d.ChangeCluster("c1", ChangeSpec{Priorities: priority, FallbackWindow: &window})
		}, 0},
		"preload":  {func(d *Document) error { return cmp.Or(d.RemoveLIM("c1", 2), d.PreloadCluster("c1")) }, 1},
		"freeze":   {func(d *Document) error { return d.FreezeCluster("c1", now.Add(time.Hour), "bob", "again", nil) }, 0},
		"unfreeze": {func(d *Document) error { return d.UnfreezeCluster("c1") }, 1},
		"lock":     {func(d *Document) error { return d.LockLIM(1, SideStandby, now, "bob", "again", nil) }, 1}, // another lock
		"unlock":   {func(d *Document) error { return d.UnlockLIM(1) }, 1},
		"lim set services": {func(d *Document) error {
			return d.SetServices(1, []Service{{Run: "exec:/opt/lim/service"}, {Run: "exec:/opt/other"}})
		}, 1},
		"lim set media":       {func(d *Document) error { return d.SetMediaServer(1, MediaServer{Kind: "none"}) }, 1},
		"lim set gateways":    {func(d *Document) error { return d.SetGateways(1, nil) }, 0},
		"lim set checks":      {func(d *Document) error { return d.SetChecks(1, []string{"exec:/opt/check"}) }, 0},
		"lim set prompts":     {func(d *Document) error { return d.SetPrompts(1, "/opt/prompts") }, 0},
		"lim set rehearsable": {func(d *Document) error { return d.SetRehearsable(1, false) }, 0},
		"manager reconfigure": {func(d *Document) error {
			return d.SetManagement(Management{Address: prefix("10.0.0.16/24"), ReplicationUser: "mxone", Fallback: FallbackAutomatic})
		}, 0},
		"remove-lim": {func(d *Document) error { return d.RemoveLIM("c1", 2) }, 1},
		"the base":   {func(d *Document) error { d.SettleBase("srv1"); return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := begin.Clone()
			if err := tt.edit(d); err != nil {
				t.Fatal(err)
			}
			if reflect.DeepEqual(d, begin) {
				t.Error("it changes nothing")
			}
			d = mustParse(t, string(Encode(d)))
			kept := keysOfOthers(d, false)
			lost := slices.DeleteFunc(slices.Clone(put), func(key string) bool { return slices.Contains(kept, key) })
			if len(lost) != tt.loses || len(kept) != len(put)-len(lost) {
				t.Errorf("it loses %q", lost)
			}
		})
	}
}
