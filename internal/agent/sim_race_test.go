//go:build race

package agent

// histories are played under the race detector, where each takes four times as long.
const histories = 2

// allDamages is whether each kind of damage is tried in the newest version, in the older
// one and in both, or in one of these.
const allDamages = false

// threads is how many threads run Go code. In a bubble of synctest the race detector's
// context of timers belongs to all threads (Go 1.26, runtime.(*timer).unlockAndRun):
// two timers that fire at one instant on two of them end the program with SIGSEGV.
// Races are found all the same, by what happens before what.
const threads = 1
