package transfer

const (
	sampleSize = 256 // bytes in a row; a chunk is sampled twice
	minSample  = 64  // smaller samples tell nothing
)

// isIncompressible tells from the frequency of bytes in two samples whether a chunk looks random,
// as compressed and encrypted content does. Trying to compress it takes a hundred times as long.
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
	return same < n*(n-1)/2/256*5/4 // random content has one equal pair in 256; the rest is tolerance
}

// tally counts bytes, and pairs of equal ones. A counter that reaches 256 starts from 0 again, when
// there are pairs enough.
func tally(counts *[256]uint8, p []byte) (n, same int) {
	for _, c := range p {
		same += int(counts[c])
		counts[c]++
	}
	return len(p), same
}
