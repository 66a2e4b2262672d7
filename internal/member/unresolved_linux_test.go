package member

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"mxcluster/internal/netns"
	"mxcluster/internal/netns/netnstest"
)

// What is sent to servers that are dead waits in the kernel for their MAC addresses, for
// seconds each time, and counts as the socket's. What goes to others must not wait for it.
func TestSendsBesideDeadServers(t *testing.T) {
	here, there := netnstest.New(t), netnstest.New(t)
	if err := netns.AddVeth(here, "eth0", there, "eth0", net.HardwareAddr{2, 0, 0, 0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	for ns, addr := range map[*netns.NS]string{here: "10.0.0.1/24", there: "10.0.0.2/24"} {
		if err := ns.AddAddress("eth0", netip.MustParsePrefix(addr)); err != nil {
			t.Fatal(err)
		}
		if err := ns.SetUp("eth0"); err != nil {
			t.Fatal(err)
		}
	}
	var s *sockets
	netnstest.Do(t, here, func() (err error) {
		s, err = openSockets(netip.MustParseAddrPort("10.0.0.1:7946"))
		return err
	})
	defer func() { _ = s.Shutdown() }()
	frame, worst := make([]byte, 300), time.Duration(0)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range 500 {
		<-tick.C
		for dead := range 5 {
			_, _ = s.WriteTo(frame, fmt.Sprintf("10.0.0.%d:7946", 100+dead)) // nobody is there
		}
		began := time.Now()
		if _, err := s.WriteTo(frame, "10.0.0.2:7946"); err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
		worst = max(worst, time.Since(began))
	}
	if worst > 200*time.Millisecond {
		t.Errorf("a datagram to a server that lives waited for %s", worst)
	}
	t.Logf("the longest wait: %s", worst)
}
