package web

import (
	"context"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"mxcluster/internal/control"
	"mxcluster/internal/status"
)

// metrics are the descriptions of what is measured.
type metrics struct {
	s *server

	limActive, reachable, alarm, redundant, revision *prometheus.Desc
	takeovers, takeoverSeconds                       *prometheus.Desc
	syncAge, rehearsalOK, rehearsalAge               *prometheus.Desc
	sinkTold, sinkLost, sinkWaiting                  *prometheus.Desc
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mxcluster_"+name, help, labels, nil)
}

// registry holds all metrics.
func (s *server) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &metrics{
		s:               s,
		limActive:       desc("lim_active", "Whether a LIM is active on a side; no sample where that cannot be seen.", "cluster", "lim", "side"),
		reachable:       desc("server_reachable", "Whether a server answers; no sample where that cannot be seen.", "server"),
		alarm:           desc("alarm", "Raised alarms that count, of the whole system: neither noticed nor as expected; not-redundant counts also while it is noticed.", "name", "severity"),
		redundant:       desc("redundant", "Whether the loss of the server where a LIM is active would be covered; no sample where that cannot be seen.", "cluster", "lim"),
		revision:        desc("document_revision", "Revision of the cluster document that is in force on this server."),
		takeovers:       desc("takeover_total", "LIMs that this server took over from a server that failed, since its agent started."),
		takeoverSeconds: desc("takeover_seconds", "From the decision to take a LIM over until it ran on this server, since its agent started."),
		syncAge:         desc("sync_age_seconds", "Age of the newest data version of a LIM that is known.", "lim"),
		rehearsalOK:     desc("rehearsal_ok", "Whether the last rehearsal of a LIM on its standby went well.", "lim"),
		rehearsalAge:    desc("rehearsal_age_seconds", "Time since the last rehearsal of a LIM.", "lim"),
		sinkTold:        desc("sink_told_total", "Messages about alarms that a sink of this server took, since its agent started.", "sink"),
		sinkLost:        desc("sink_lost_total", "Messages about alarms that a sink of this server did not take and that are given up, since its agent started.", "sink"),
		sinkWaiting:     desc("sink_waiting", "Messages about alarms that wait for a sink of this server.", "sink"),
	})
	return r
}

// Describe names what is collected.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.limActive, m.reachable, m.alarm, m.redundant, m.revision, m.takeovers, m.takeoverSeconds,
		m.syncAge, m.rehearsalOK, m.rehearsalAge, m.sinkTold, m.sinkLost, m.sinkWaiting} {
		ch <- d
	}
}

// Collect asks the agent. An agent that does not answer makes the scrape fail.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	defer func() { // it runs in a goroutine of the registry's, whose panic ends the agent
		if v := recover(); v != nil {
			ch <- prometheus.NewInvalidMetric(m.revision, fmt.Errorf("internal error: %v", v))
		}
	}()
	ctx := context.Background()
	st, err := m.s.status.get(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.revision, err)
		return
	}
	info, err := m.s.agent.get(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.takeovers, err)
		return
	}
	list, err := m.s.alarms.get(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.alarm, err)
		return
	}
	g := gauges{ch}
	g.set(m.revision, float64(st.Revision))
	for i := range st.Clusters {
		m.cluster(g, &st.Clusters[i])
	}
	m.alarms(g, list)
	m.agent(g, info)
}

func (m *metrics) cluster(g gauges, c *status.StatusCluster) {
	for i := range c.LIMs {
		l := &c.LIMs[i]
		lim := strconv.Itoa(l.LIM)
		if l.Side != "unknown" {
			for _, side := range []string{"regular", "standby"} {
				g.set(m.limActive, one(l.Side == side), c.Name, lim, side)
			}
		}
		if l.Redundant != nil {
			g.set(m.redundant, one(*l.Redundant), c.Name, lim)
		}
		if l.Data != nil && l.Data.AgeMs != nil {
			g.set(m.syncAge, float64(*l.Data.AgeMs)/1000, lim)
		}
		if r := l.Rehearsal; r != nil {
			g.set(m.rehearsalOK, one(r.Result == "ok"), lim)
			g.set(m.rehearsalAge, m.s.Now().Sub(r.At).Seconds(), lim)
		}
	}
	for _, x := range c.Servers {
		if x.Reachable != nil {
			g.set(m.reachable, one(*x.Reachable), x.Name)
		}
	}
}

func (m *metrics) alarms(g gauges, list *status.AlarmList) {
	type kind struct{ name, severity string }
	counts := map[kind]int{}
	for i := range list.Alarms {
		if a := &list.Alarms[i]; a.Counts() {
			counts[kind{a.Name, a.Severity}]++
		}
	}
	for k, n := range counts {
		g.set(m.alarm, float64(n), k.name, k.severity)
	}
}

func (m *metrics) agent(g gauges, info *control.AgentInfo) {
	t := control.Takeovers{}
	if info.Takeovers != nil {
		t = *info.Takeovers
	}
	g.ch <- prometheus.MustNewConstMetric(m.takeovers, prometheus.CounterValue, float64(t.Count))
	buckets := map[float64]uint64{}
	for _, b := range t.Buckets {
		buckets[float64(b.UpToMs)/1000] = b.Count
	}
	g.ch <- prometheus.MustNewConstHistogram(m.takeoverSeconds, t.Count, float64(t.SumMs)/1000, buckets)
	for _, x := range info.Sinks {
		g.ch <- prometheus.MustNewConstMetric(m.sinkTold, prometheus.CounterValue, float64(x.Told), x.Name)
		g.ch <- prometheus.MustNewConstMetric(m.sinkLost, prometheus.CounterValue, float64(x.Lost), x.Name)
		g.set(m.sinkWaiting, float64(x.Waiting), x.Name)
	}
}

// gauges sends samples of gauges.
type gauges struct{ ch chan<- prometheus.Metric }

func (g gauges) set(d *prometheus.Desc, v float64, labels ...string) {
	g.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
