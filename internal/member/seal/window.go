package seal

const (
	windowSize = 1024 // counters behind the highest that may still arrive, once each
	wordBits   = 64
)

// window tells which counters of a run were seen. Datagrams may arrive out of order.
type window struct {
	next uint64 // above the highest seen
	low  uint64 // nothing below is taken
	seen [windowSize / wordBits]uint64
}

// windowFrom returns the window of a run that proved itself with a counter: it
// takes only what was sealed later.
func windowFrom(counter uint64) window {
	return window{next: counter + 1, low: counter + 1}
}

// take reports whether a counter is seen for the first time, and marks it.
func (w *window) take(counter uint64) bool {
	if counter < w.low || counter+windowSize < w.next || counter == ^uint64(0) {
		return false
	}
	if counter >= w.next {
		w.advance(counter + 1)
	} else if w.seen[counter%windowSize/wordBits]&(1<<(counter%wordBits)) != 0 {
		return false
	}
	w.seen[counter%windowSize/wordBits] |= 1 << (counter % wordBits)
	return true
}

// advance forgets what falls out of the window.
func (w *window) advance(next uint64) {
	if next-w.next >= windowSize {
		w.seen = [windowSize / wordBits]uint64{}
	} else {
		for c := w.next; c < next; c++ {
			w.seen[c%windowSize/wordBits] &^= 1 << (c % wordBits)
		}
	}
	w.next = next
}
