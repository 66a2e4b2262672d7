package agent

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// besideOthers runs a test in a cluster of srv1 and sb1, beside srv2, which is in
// no cluster.
func besideOthers(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
		w := newWorldOf(t, doc)
		defer w.close()
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", soon)
		pass(3 * time.Second)
		f(w)
	})
}

// A server of another cluster tells a dead peer from a cut cable, and at once.
func TestSmallClusterTakesOverInTime(t *testing.T) {
	besideOthers(t, func(w *world) {
		w.powerCut("srv1")
		if took := w.await(1, "sb1", soon); took > limit+100*time.Millisecond {
			t.Errorf("taking over took %s with a silence limit of %s", took, limit)
		}
	})
}

func TestSmallClusterCutOff(t *testing.T) {
	besideOthers(t, func(w *world) {
		w.partition(true, "sb1", "srv1", "srv2")
		pass(20 * time.Second)
		if h := w.holders(1); !slices.Equal(h, []string{"srv1"}) {
			t.Errorf("with sb1 cut off the alias is on %v", h)
		}
	})
}

// No server is heard, and there is no gateway: clients that ask for an alias show
// that the link of the standby carries traffic, so that the others are dead, or
// those clients lost them, too.
func TestClientsTellDeadServersFromACutCable(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		client := w.foreignHost(netip.MustParsePrefix("192.0.2.99/24"))
		wire, err := w.segment.OpenWire(client, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		defer wire.Close()
		w.partition(true, "sb1", "srv1", "srv2")
		pass(3 * time.Second)
		if slices.Contains(w.holders(1), "sb1") || slices.Contains(w.holders(2), "sb1") {
			t.Error("the standby took over though it heard nobody")
		}
		for range 10 {
			if err := wire.Ask(netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("192.0.2.12"), nil); err != nil {
				t.Fatal(err)
			}
			pass(100 * time.Millisecond)
		}
		// Which of the two: the one that fell silent first, by a few milliseconds.
		if slices.Contains(w.holders(1), "sb1") == slices.Contains(w.holders(2), "sb1") {
			t.Errorf("the aliases are on %v and %v", w.holders(1), w.holders(2))
		}
	})
}
