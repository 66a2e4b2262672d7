//go:build race

package agent

// histories are played under the race detector, where each takes four times as long.
const histories = 3
