package netops_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

var alias11 = netip.MustParsePrefix("10.0.0.11/24")

func TestWholeSeconds(t *testing.T) {
	for _, tc := range []struct {
		lease time.Duration
		want  uint32
		code  fault.Code
	}{
		{0, 0, fault.OK},
		{1, 1, fault.OK},
		{time.Second, 1, fault.OK},
		{time.Second + 1, 2, fault.OK},
		{2500 * time.Millisecond, 3, fault.OK},
		{-1, 0, fault.Usage},
		{-3 * time.Second, 0, fault.Usage},
		{1 << 31 * time.Second, 0, fault.Usage},
		{1<<63 - 1, 0, fault.Usage},
	} {
		got, err := netops.WholeSeconds(tc.lease)
		if got != tc.want || fault.CodeOf(err) != tc.code {
			t.Errorf("%s: %d, %v; want %d with code %d", tc.lease, got, err, tc.want, tc.code)
		}
	}
}

// slowLeases is a kernel whose calls take time, as they do for a process that
// is stopped in the middle of them.
type slowLeases struct {
	*netopstest.Kernel
	has0, set0 time.Duration
	fail       error
}

func (s slowLeases) Has(ifname string, p netip.Prefix) (bool, error) {
	ok, err := s.Kernel.Has(ifname, p)
	<-time.After(s.has0)
	return ok, err
}

func (s slowLeases) Set(ifname string, p netip.Prefix, seconds uint32) error {
	<-time.After(s.set0)
	if s.fail != nil {
		return s.fail
	}
	return s.Kernel.Set(ifname, p, seconds)
}

func TestExtend(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name     string
		after    time.Duration // between taking and renewing a lease of 3 s
		has, set time.Duration // how long the kernel's calls take
		fail     error
		want     error
		there    bool
	}{
		{name: "in time", after: 300 * time.Millisecond, there: true},
		{name: "at the last moment", after: 2999 * time.Millisecond, there: true},
		{name: "expired", after: 3 * time.Second, want: netops.ErrLeaseLost},
		{name: "long expired", after: time.Hour, want: netops.ErrLeaseLost},
		{name: "stopped before the look at the clock", has: 4 * time.Second, want: netops.ErrLeaseLost},
		{name: "stopped before the call", set: 4 * time.Second, want: netops.ErrLeaseLost},
		{name: "stopped for a moment", has: time.Second, set: time.Second, there: true},
		{name: "refused", fail: broken, want: broken, there: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := netopstest.NewKernel("srv1", netops.Link{Name: "eth0", Up: true})
				until := time.Now().Add(3 * time.Second)
				if err := k.Hold("eth0", alias11, 3*time.Second); err != nil {
					t.Fatal(err)
				}
				<-time.After(tc.after)
				err := netops.Renew(slowLeases{k, tc.has, tc.set, tc.fail}, "eth0", alias11, 3*time.Second, until)
				if !errors.Is(err, tc.want) {
					t.Errorf("error %v, want %v", err, tc.want)
				}
				if there, _ := k.Has("eth0", alias11); there != tc.there {
					t.Errorf("address there: %v, want %v", there, tc.there)
				}
			})
		})
	}
}

func TestExtendRefuses(t *testing.T) {
	k := netopstest.NewKernel("srv1", netops.Link{Name: "eth0", Up: true})
	soon := time.Now().Add(time.Hour)
	for _, tc := range []struct {
		name   string
		ifname string
		lease  time.Duration
		code   fault.Code
		want   string
	}{
		{"for ever", "eth0", 0, fault.Usage, "for ever"},
		{"negative", "eth0", -1, fault.Usage, "out of range"},
		{"no such interface", "eth1", time.Second, fault.NotFound, `no interface "eth1"`},
		{"not there", "eth0", time.Second, fault.Failed, "the address is gone"},
	} {
		err := k.Extend(tc.ifname, alias11, tc.lease, soon)
		if fault.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v with code %d, want %q with %d", tc.name, err, fault.CodeOf(err), tc.want, tc.code)
		}
	}
}

// An address that was made permanent meanwhile, by somebody else, does not
// outlive our time.
func TestExtendTooLateDeletes(t *testing.T) {
	k := netopstest.NewKernel("srv1", netops.Link{Name: "eth0", Up: true})
	if err := k.Hold("eth0", alias11, 0); err != nil {
		t.Fatal(err)
	}
	if err := k.Extend("eth0", alias11, time.Second, time.Now()); !errors.Is(err, netops.ErrLeaseLost) {
		t.Errorf("error %v, want %v", err, netops.ErrLeaseLost)
	}
	if there, _ := k.Has("eth0", alias11); there {
		t.Error("the address is still there")
	}
	down := errors.New("network is down")
	k.FailWith(func(op string) error {
		if op == "Drop" {
			return down
		}
		return k.Set("eth0", alias11, 0)
	})
	if err := k.Extend("eth0", alias11, time.Second, time.Now()); !errors.Is(err, down) {
		t.Errorf("error %v, want that of the deletion", err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"lo", "eth0", "enp0s31f6"}
	for wanted, hint := range map[string]string{
		"eht0":      "did you mean eth0?",
		"eth1":      "did you mean eth0?",
		"enp0s31f":  "did you mean enp0s31f6?",
		"bond0":     "this server has lo, eth0, enp0s31f6",
		"x":         "this server has lo, eth0, enp0s31f6",
		"wlp2s0":    "this server has lo, eth0, enp0s31f6",
		"enp0s31f6": "did you mean enp0s31f6?",
	} {
		err := netops.NoInterface(wanted, names)
		if got := fault.HintOf(err); got != hint || fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: hint %q, want %q", wanted, got, hint)
		}
	}
	if got := fault.HintOf(netops.NoInterface("eth0", nil)); got != "" {
		t.Errorf("hint %q without any interface", got)
	}
}
