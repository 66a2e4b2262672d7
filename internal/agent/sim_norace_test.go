//go:build !race

package agent

// histories are played in a normal run.
const histories = 8

// allDamages: see the race detector's.
const allDamages = true
