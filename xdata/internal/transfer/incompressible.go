package transfer

const (
	sampleSize = 256 // bytes in a row, of which a chunk shows two
	minSample  = 64  // of less, nothing can be told
)

// isIncompressible tells from how often each byte comes in samples of a chunk whether it
// looks like noise, as compressed or encrypted content does, which shrinks no
// more. Trying takes a hundred times as long.
func isIncompressible(chunk []byte) bool {
	var counts [256]uint8
	n, same := tally(&counts, chunk[:min(len(chunk), sampleSize)])
	if len(chunk) > 2*sampleSize {
		more, pairs := tally(&counts, chunk[len(chunk)/2:len(chunk)/2+sampleSize])
		n, same = n+more, same+pairs
	}
	if n < minSample {
		return false
	}
	return same < n*(n-1)/2/256*5/4 // noise has one in 256, and by chance some more
}

// tally counts bytes, and the pairs of equal ones. 256 equal ones start from 0
// again, and are pairs enough by then.
func tally(counts *[256]uint8, p []byte) (n, same int) {
	for _, c := range p {
		same += int(counts[c])
		counts[c]++
	}
	return len(p), same
}
