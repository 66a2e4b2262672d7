// Package lab runs a whole cluster on one machine: a switch, servers and
// clients in namespaces of their own, with the real program in every server.
// The demonstration and the integration tests drive the same package.
//
// Three kinds of process take part. The parent is what the user started, in
// the machine's own namespaces. It starts the host, process 1 of fresh network,
// process and mount namespaces, which holds the switch and the clients and runs
// the scenario. The host starts one process per server, again process 1 of
// namespaces of its own. So nothing touches the machine's network, and whoever
// dies takes everything below along: the kernel kills what lives in a process
// namespace whose first process is gone.
//
// All that is on disk lies in one lab folder, which the parent removes.
package lab
