//go:build !race

package agent

// histories are played in a normal run.
const histories = 8
