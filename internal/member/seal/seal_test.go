package seal

import (
	"bytes"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func keyOf(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func box(t testing.TB, name string, keys ...[]byte) *Box {
	t.Helper()
	if len(keys) == 0 {
		keys = [][]byte{keyOf(1)}
	}
	b, err := New(name, keys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func message(t testing.TB, from *Box, to, body string) []byte {
	t.Helper()
	d, err := from.Seal(Message, to, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// body makes messages longer than a hello, as heartbeats are.
func body(n int) string { return fmt.Sprintf("message %032d", n) }

// deliver opens a datagram at a box, and has all answers go back and forth.
func deliver(t testing.TB, from, to *Box, d []byte, now time.Time) (got []string) {
	t.Helper()
	o := to.Open(d, now)
	for _, f := range o.Frames {
		got = append(got, string(f.Body))
	}
	for _, answer := range o.Answers {
		if len(answer) > len(d) {
			t.Errorf("%d bytes are answered by %d", len(d), len(answer))
		}
		deliver(t, to, from, answer, now)
	}
	return got
}

// acquaint has two boxes prove their runs to each other.
func acquaint(t testing.TB, a, b *Box) {
	t.Helper()
	deliver(t, a, b, message(t, a, b.name, body(0)), start)
	if got := deliver(t, a, b, message(t, a, b.name, body(1)), start); len(got) != 1 {
		t.Fatalf("%s does not hear %s: %q", b.name, a.name, got)
	}
	if got := deliver(t, b, a, message(t, b, a.name, body(2)), start); len(got) != 1 {
		t.Fatalf("%s does not hear %s: %q", a.name, b.name, got)
	}
}

// verdict opens a datagram and looks at nothing but what became of it.
func verdict(t *testing.T, at *Box, d []byte, want Verdict) Opened {
	t.Helper()
	o := at.Open(d, start)
	if o.Verdict != want {
		t.Errorf("%s, want %s", o.Verdict, want)
	}
	if want != Accepted && len(o.Frames) > 0 {
		t.Errorf("%s, and yet %d frames", o.Verdict, len(o.Frames))
	}
	return o
}

func TestFirstWord(t *testing.T) {
	a, b := box(t, "a"), box(t, "b")
	d := message(t, a, "b", body(1))
	o := verdict(t, b, d, Unproven)
	if len(o.Answers) != 1 {
		t.Fatalf("%d answers", len(o.Answers))
	}
	// The proof brings what came first with it.
	proof := a.Open(o.Answers[0], start)
	if len(proof.Answers) != 1 {
		t.Fatalf("%d answers to a question", len(proof.Answers))
	}
	if o = b.Open(proof.Answers[0], start); o.Verdict != Accepted || len(o.Frames) != 1 || string(o.Frames[0].Body) != body(1) {
		t.Errorf("%s with %d frames", o.Verdict, len(o.Frames))
	}
	verdict(t, b, proof.Answers[0], Replayed)
	verdict(t, b, d, Replayed)
}

func TestWhatIsRefused(t *testing.T) {
	a, b, c := box(t, "a"), box(t, "b"), box(t, "c")
	acquaint(t, a, b)
	acquaint(t, a, c)
	d := message(t, a, "b", body(3))
	verdict(t, c, d, NotForUs)                                     // sent on to another server
	verdict(t, a, d, NotForUs)                                     // reflected
	verdict(t, a, message(t, a, "a", body(3)), NotForUs)           // to itself
	verdict(t, box(t, "b", keyOf(2)), d, OtherKey)                 // of another system
	verdict(t, b, []byte(nil), Garbled)                            // nothing
	verdict(t, b, d[:len(d)-1], Garbled)                           // cut off
	verdict(t, b, append(bytes.Clone(d), 0), Garbled)              // longer
	verdict(t, b, append([]byte("mx\x02"), d[3:]...), Garbled)     // of a later version
	verdict(t, b, append([]byte("mx\x01\x09"), d[4:]...), Garbled) // of an unknown kind
	verdict(t, b, d, Accepted)
	verdict(t, b, d, Replayed)
	if got := b.Counts(); got[Replayed] != 1 || got[Garbled] != 5 {
		t.Errorf("counted %v", got)
	}
}

// TestEveryBitIsAuthentic changes each bit of a datagram.
func TestEveryBitIsAuthentic(t *testing.T) {
	a, b := box(t, "a"), box(t, "b")
	acquaint(t, a, b)
	d := message(t, a, "b", body(3))
	for i := range len(d) * 8 {
		x := bytes.Clone(d)
		x[i/8] ^= 1 << (i % 8)
		if o := b.Open(x, start); o.Verdict != Garbled && o.Verdict != OtherKey || len(o.Frames)+len(o.Answers) > 0 {
			t.Errorf("bit %d: %s", i, o.Verdict)
		}
	}
	verdict(t, b, d, Accepted)
}

// TestAnyLengthOfAName gives both names each length that their bytes can say, in datagrams
// that have room for it and in those that have not.
func TestAnyLengthOfAName(t *testing.T) {
	a, b := box(t, "a"), box(t, "b")
	acquaint(t, a, b)
	for _, room := range []int{0, 200, 253, 254, 255, 256, 600} {
		d := message(t, a, "b", strings.Repeat("x", room))
		for first := range 256 {
			d[fixedSize] = byte(first)
			if at := fixedSize + 1 + first; at < len(d) {
				for second := range 256 {
					x := bytes.Clone(d)
					x[at] = byte(second)
					b.Open(x, start)
				}
			}
			b.Open(d, start)
		}
	}
	long := strings.Repeat("n", maxName)
	c, e := box(t, long), box(t, "e")
	acquaint(t, c, e)
}

// TestFormerRunStaysFormer replays all that a run ever sent after it was replaced.
func TestFormerRunStaysFormer(t *testing.T) {
	a, b := box(t, "a"), box(t, "b")
	var recorded [][]byte
	send := func(d []byte) { recorded = append(recorded, d); deliver(t, a, b, d, start) }
	for i := range 20 {
		send(message(t, a, "b", body(i)))
	}
	again := box(t, "a")
	acquaint(t, again, b)
	for _, d := range recorded {
		if o := b.Open(d, start); len(o.Frames) > 0 || o.Verdict == Accepted {
			t.Fatalf("%s of a former run", o.Verdict)
		}
	}
	// Nor does it push the present one out.
	if got := deliver(t, again, b, message(t, again, "b", body(9)), start); len(got) != 1 {
		t.Errorf("the present run is not heard any more: %q", got)
	}
	// A receiver that was started again knows no run: recorded datagrams prove nothing to it.
	b = box(t, "b")
	for _, d := range recorded {
		if o := b.Open(d, start); len(o.Frames) > 0 || o.Verdict == Accepted {
			t.Fatalf("%s by a receiver that has just started", o.Verdict)
		}
	}
}

// TestRecordedProofs replays whole conversations to a receiver that asks anew.
func TestRecordedProofs(t *testing.T) {
	a, b := box(t, "a"), box(t, "b")
	first := b.Open(message(t, a, "b", body(1)), start)
	proof := a.Open(first.Answers[0], start).Answers[0]
	verdict(t, b, proof, Accepted)
	acquaint(t, box(t, "a"), b)
	// The former run's proof, while another question is out and after it.
	o := b.Open(message(t, a, "b", body(2)), start)
	if o.Verdict != Unproven {
		t.Fatalf("a former run's new datagram: %s", o.Verdict)
	}
	if o = b.Open(proof, start); o.Verdict == Accepted || len(o.Frames) > 0 {
		t.Errorf("a former proof: %s", o.Verdict)
	}
	// A question that is too old is not proven by any answer.
	b = box(t, "b")
	o = b.Open(message(t, a, "b", body(3)), start)
	late := a.Open(o.Answers[0], start).Answers[0]
	if o = b.Open(late, start.Add(2*nonceLife)); o.Verdict == Accepted {
		t.Error("a late proof counts")
	}
}

// TestOutOfOrder delivers in every order that the window allows, once each.
func TestOutOfOrder(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(1, 2))
	a, b := box(t, "a"), box(t, "b")
	acquaint(t, a, b)
	var all [][]byte
	for i := range 10 * windowSize {
		all = append(all, message(t, a, "b", body(i)))
	}
	for i := 0; i+windowSize/2 <= len(all); i += windowSize / 2 {
		r.Shuffle(windowSize/2, func(x, y int) { all[i+x], all[i+y] = all[i+y], all[i+x] })
	}
	for i, d := range all {
		if o := b.Open(d, start); o.Verdict != Accepted {
			t.Fatalf("datagram %d: %s", i, o.Verdict)
		}
		verdict(t, b, all[r.IntN(i+1)], Replayed)
	}
}

// TestWindow holds the window against a list of all that was seen.
func TestWindow(t *testing.T) {
	for seed := range uint64(200) {
		r := mathrand.New(mathrand.NewPCG(seed, 0))
		first := r.Uint64N(3000)
		w, seen, high := windowFrom(first), map[uint64]bool{}, first
		for range 500 {
			c := high + r.Uint64N(40)
			switch r.IntN(4) {
			case 0:
				c = high - min(high, r.Uint64N(1200))
			case 1:
				c = high + r.Uint64N(2500)
			}
			want := c > first && !seen[c] && c+windowSize > high
			if got := w.take(c); got != want {
				t.Fatalf("seed %d: counter %d, highest %d: taken %v", seed, c, high, got)
			}
			if want {
				seen[c], high = true, max(high, c)
			}
		}
	}
	w := windowFrom(0)
	if w.take(^uint64(0)) {
		t.Error("the last counter of all leaves no room")
	}
}

// TestFloods bounds what strangers' replays cause.
func TestFloods(t *testing.T) {
	a, b := box(t, "a"), box(t, "b")
	old := box(t, "a")
	recorded := message(t, old, "b", body(1))
	acquaint(t, a, b)
	answers := 0
	for i := range 100_000 {
		answers += len(b.Open(recorded, start.Add(time.Duration(i)*10*time.Microsecond)).Answers)
	}
	if most := int(time.Second/hellosPeriod) + hellosBurst; answers > most {
		t.Errorf("%d answers in a second, at most %d", answers, most)
	}
	for i := range 3 * maxPeers {
		b.Open(message(t, box(t, fmt.Sprintf("invented%d", i)), "b", body(1)), start)
	}
	if len(b.peers) > maxPeers {
		t.Errorf("%d names are kept", len(b.peers))
	}
	if got := deliver(t, a, b, message(t, a, "b", body(5)), start.Add(time.Minute)); len(got) != 1 {
		t.Errorf("who was proven before is forgotten: %q", got)
	}
	// What is shorter than a hello is not answered at all.
	if o := b.Open(message(t, box(t, "x"), "b", "short"), start); len(o.Answers) > 0 {
		t.Errorf("a datagram is answered by a longer one")
	}
}

// TestKeyRotation goes through all steps on two boxes, and brings one back that has
// the former key alone.
func TestKeyRotation(t *testing.T) {
	one, two := keyOf(1), keyOf(2)
	a, b := box(t, "a", one), box(t, "b", one)
	acquaint(t, a, b)
	for i, ring := range [][][]byte{{one, two}, {two, one}, {two}} {
		for _, x := range []*Box{a, b} {
			if err := x.SetKeys(ring); err != nil {
				t.Fatal(err)
			}
			if got := deliver(t, a, b, message(t, a, "b", body(i)), start); len(got) != 1 {
				t.Errorf("step %d: %q", i, got)
			}
			if got := deliver(t, b, a, message(t, b, "a", body(i)), start); len(got) != 1 {
				t.Errorf("step %d, back: %q", i, got)
			}
		}
	}
	if err := b.SetKeys([][]byte{two, one}); err != nil {
		t.Fatal(err)
	}
	former := box(t, "a", one)
	if got := deliver(t, former, b, message(t, former, "b", body(7)), start); len(got) == 0 {
		got = deliver(t, former, b, message(t, former, "b", body(8)), start)
		if len(got) != 1 {
			t.Errorf("who seals with the former key, which is still accepted, is not heard")
		}
	}
	for _, bad := range [][][]byte{nil, {one[:31]}} {
		if err := b.SetKeys(bad); err == nil {
			t.Errorf("%d keys are taken", len(bad))
		}
	}
}

// FuzzOpen gives anything to a box that knows a peer. Whatever it is, nothing of it
// is answered or believed but what the peer did send; and the peer is heard as before.
func FuzzOpen(f *testing.F) {
	// The same in every process of the fuzzer, or its inputs would be of other runs.
	same := func(name string, seed byte) *Box {
		b, err := New(name, [][]byte{keyOf(1)}, mathrand.NewChaCha8([32]byte{seed}))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	a, b := same("a", 1), same("b", 2)
	acquaint(f, a, b)
	for range 3 {
		f.Add(message(f, a, "b", body(1)))
	}
	f.Add([]byte("mx\x01\x01"))
	f.Add(bytes.Repeat([]byte{0xff}, 200))
	n := 0
	f.Fuzz(func(t *testing.T, d []byte) {
		if o := b.Open(d, start); len(o.Answers) > 0 || len(o.Frames) > 1 {
			t.Errorf("%d answers, %d frames", len(o.Answers), len(o.Frames))
		}
		n++
		if got := deliver(t, a, b, message(t, a, "b", body(n)), start); len(got) != 1 {
			t.Errorf("the peer is not heard any more")
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	x, y := box(b, "a"), box(b, "b")
	acquaint(b, x, y)
	for b.Loop() {
		if o := y.Open(message(b, x, "b", body(1)), start); o.Verdict != Accepted {
			b.Fatal(o.Verdict)
		}
	}
}

func BenchmarkForged(b *testing.B) {
	x, y := box(b, "a"), box(b, "b")
	d := message(b, x, "b", body(1))
	d[len(d)-1] ^= 1
	for b.Loop() {
		if o := y.Open(d, start); o.Verdict != Garbled {
			b.Fatal(o.Verdict)
		}
	}
}
