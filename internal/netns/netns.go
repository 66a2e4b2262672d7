// Package netns makes network namespaces and the links between them, for the
// lab and for tests against the real kernel. It speaks netlink alone: no
// program is run, nothing is mounted and nothing gets a name in the file
// system, so it works in a user namespace as well. A namespace lives as long
// as its NS is open or a process runs in it; nothing is left behind by a crash.
//
// Systems other than Linux have no network namespaces: there every function
// returns a fault.Refused error.
package netns
