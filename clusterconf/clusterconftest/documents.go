package clusterconftest

// TwoLIMs is a system without a cluster yet.
const TwoLIMs = `apiVersion: mxcluster/v1
kind: ClusterDocument
level: 2
system: TESTSYSTEM
revision: 5
changed:
  at: 2026-03-01T01:00:00Z
servers:
  - name: free1
    base: 10.0.0.14/24
    interface: eth0
  - name: sb1
    base: 10.0.0.13/24
    interface: eth0
    standby: true
  - name: srv1
    base: 10.0.0.11/24
    interface: eth0
    lim: 1
  - name: srv2
    base: 10.0.0.12/24
    interface: eth0
    lim: 2
`

// OneCluster is that system with both LIMs in cluster c1, and a second standby and a third LIM in none.
const OneCluster = `apiVersion: mxcluster/v1
kind: ClusterDocument
level: 2
system: TESTSYSTEM
revision: 6
changed:
  at: 2026-03-01T01:00:00Z
servers:
  - name: free1
    base: 10.0.0.14/24
    interface: eth0
  - name: sb1
    base: 10.0.0.13/24
    interface: eth0
    standby: true
  - name: sb2
    base: 10.0.0.15/24
    interface: eth0
    standby: true
  - name: srv1
    base: 10.0.0.21/24
    interface: eth0
    lim: 1
  - name: srv2
    base: 10.0.0.22/24
    interface: eth0
    lim: 2
  - name: srv3
    base: 10.0.0.16/24
    interface: eth0
    lim: 3
lims:
  - lim: 1
    services:
      - run: exec:/opt/lim/service
      - run: systemd:manager.service
        regularOnly: true
clusters:
  - name: c1
    standby: sb1
    fallback: manual
    failover: normal
    splitBrainStop: regular
    lims:
      - lim: 1
        alias: 10.0.0.11/24
        priority: 100
      - lim: 2
        alias: 10.0.0.12/24
        priority: 50
`
