// Package snmp speaks SNMP: notifications of alarms to managers, and the objects of
// MXCLUSTER-MIB for Debian's snmpd, which asks for them by its pass_persist protocol.
package snmp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mxcluster/internal/alarms"
	"mxcluster/internal/status"
)

// Root is the object identifier of MXCLUSTER-MIB. It lies below netSnmpPlaypen, which is
// set aside for modules without a registered enterprise.
const Root = ".1.3.6.1.4.1.8072.9999.9999.7946"

// Objects and notifications, below Root.
const (
	oidRaised  = Root + ".0.1"
	oidCleared = Root + ".0.2"
	oidTest    = Root + ".0.3"

	oidScalars = Root + ".1"
	oidLIMs    = Root + ".2.1"
	oidServers = Root + ".3.1"
	oidAlarms  = Root + ".4.1"
	oidNotice  = Root + ".5" // objects of notifications alone
)

// Columns of the table of alarms.
const (
	columnAlarmName = iota + 2 // the first is the index
	columnAlarmSeverity
	columnAlarmLIM
	columnAlarmServer
	columnAlarmText
	columnAlarmSince
	columnAlarmCounts
)

// Kinds of values, in the words of pass_persist.
const (
	kindInteger = "integer"
	kindGauge   = "gauge"
	kindString  = "string"
)

// Object is one instance: where it is, and what it says.
type Object struct {
	OID   string
	Kind  string
	Value string
}

// truth is the MIB's MxKnown: yes(1), no(2), unknown(3).
func truth(b *bool) string {
	switch {
	case b == nil:
		return "3"
	case *b:
		return "1"
	}
	return "2"
}

// severity is the MIB's MxSeverity: warning(1), critical(2).
func severity(s string) int {
	if s == string(alarms.Critical) {
		return 2
	}
	return 1
}

// health is the MIB's: ok(1), warning(2), critical(3), unknown(4).
func health(h string) string { return numberOf(h, "ok", "warning", "critical") }

// side is the MIB's: regular(1), standby(2), none(3), unknown(4).
func side(s string) string { return numberOf(s, "regular", "standby", "none") }

// numberOf counts a word from 1; one that is not among the words has the number after them.
func numberOf(word string, words ...string) string {
	if i := slices.Index(words, word); i >= 0 {
		return strconv.Itoa(i + 1)
	}
	return strconv.Itoa(len(words) + 1)
}

// table collects objects.
type table struct{ all []Object }

func (t *table) add(oid, kind, value string) { t.all = append(t.all, Object{oid, kind, value}) }

func (t *table) cell(entry string, column, row int, kind, value string) {
	t.add(fmt.Sprintf("%s.%d.%d", entry, column, row), kind, value)
}

// Objects are all instances of the MIB, in order.
func Objects(st *status.ClusterStatus, alarms []status.Alarm) []Object {
	t := &table{}
	t.add(oidScalars+".1.0", kindString, st.Observer)
	t.add(oidScalars+".2.0", kindInteger, health(st.Health))
	t.add(oidScalars+".3.0", kindInteger, truth(st.Redundant))
	t.add(oidScalars+".4.0", kindString, st.RedundantWhy)
	t.add(oidScalars+".5.0", kindGauge, strconv.FormatUint(st.Revision, 10))
	counting := 0
	for i := range alarms {
		if alarms[i].Counts() {
			counting++
		}
	}
	t.add(oidScalars+".6.0", kindGauge, strconv.Itoa(counting))
	row := 0
	for _, c := range st.Clusters {
		for i := range c.LIMs {
			t.lim(c.Name, &c.LIMs[i])
		}
		for i := range c.Servers {
			row++
			t.server(row, &c.Servers[i])
		}
	}
	for i := range alarms {
		t.alarm(&alarms[i])
	}
	slices.SortFunc(t.all, func(a, b Object) int { return compareOIDs(a.OID, b.OID) })
	return t.all
}

func (t *table) lim(cluster string, l *status.StatusLIM) {
	on := ""
	if l.ActiveOn != nil {
		on = *l.ActiveOn
	}
	t.cell(oidLIMs, 2, l.LIM, kindString, cluster)
	t.cell(oidLIMs, 3, l.LIM, kindString, on)
	t.cell(oidLIMs, 4, l.LIM, kindInteger, side(l.Side))
	t.cell(oidLIMs, 5, l.LIM, kindString, l.State)
	t.cell(oidLIMs, 6, l.LIM, kindInteger, truth(l.Redundant))
	t.cell(oidLIMs, 7, l.LIM, kindString, l.RedundantWhy)
}

func (t *table) server(row int, s *status.StatusServer) {
	t.cell(oidServers, 2, row, kindString, s.Name)
	t.cell(oidServers, 3, row, kindString, s.Role)
	t.cell(oidServers, 4, row, kindInteger, truth(s.Reachable))
	t.cell(oidServers, 5, row, kindInteger, truth(s.Ready))
	t.cell(oidServers, 6, row, kindString, s.ReadyWhy)
}

func (t *table) alarm(a *status.Alarm) {
	counts := a.Counts()
	t.cell(oidAlarms, columnAlarmName, a.Handle, kindString, a.Name)
	t.cell(oidAlarms, columnAlarmSeverity, a.Handle, kindInteger, strconv.Itoa(severity(a.Severity)))
	t.cell(oidAlarms, columnAlarmLIM, a.Handle, kindInteger, strconv.Itoa(a.LIM))
	t.cell(oidAlarms, columnAlarmServer, a.Handle, kindString, a.Server)
	t.cell(oidAlarms, columnAlarmText, a.Handle, kindString, a.Text)
	t.cell(oidAlarms, columnAlarmSince, a.Handle, kindString, a.RaisedAt.UTC().Format("2006-01-02T15:04:05Z"))
	t.cell(oidAlarms, columnAlarmCounts, a.Handle, kindInteger, truth(&counts))
}

// compareOIDs puts object identifiers in the order of their numbers.
func compareOIDs(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

// numbers are those of an object identifier; nil: it is none.
func numbers(oid string) []uint64 {
	var out []uint64
	for _, text := range strings.Split(strings.TrimPrefix(oid, "."), ".") {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil
		}
		out = append(out, n)
	}
	return out
}

// find returns the object at an identifier.
func find(all []Object, oid string) (Object, bool) {
	i, ok := slices.BinarySearchFunc(all, oid, func(o Object, oid string) int { return compareOIDs(o.OID, oid) })
	if !ok {
		return Object{}, false
	}
	return all[i], true
}

// after returns the first object behind an identifier.
func after(all []Object, oid string) (Object, bool) {
	i, ok := slices.BinarySearchFunc(all, oid, func(o Object, oid string) int { return compareOIDs(o.OID, oid) })
	if ok {
		i++
	}
	if i >= len(all) {
		return Object{}, false
	}
	return all[i], true
}
