// Package lab runs a whole cluster on one machine: a switch, servers and clients in namespaces,
// with the real program on every server. The demonstration and the integration tests use it.
//
// There are three kinds of processes. The parent is the one that the user started, in the machine's
// own namespaces. It starts the host, process 1 of new network, process and mount namespaces, which
// contains the switch and the clients and runs the scenario. The host starts one process per
// server, which is process 1 of namespaces of its own. So the machine's network is not touched, and
// the end of a process ends everything below it: the kernel kills the processes of a process
// namespace whose first process has ended.
//
// All files are in one lab folder, which the parent removes.
package lab
