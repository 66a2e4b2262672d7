//go:build !race

package agent

// histories are played in a normal run.
const histories = 8

// allDamages: see the race detector's.
const allDamages = true

// threads is how many threads run Go code; 0: as many as there are processors.
const threads = 0
