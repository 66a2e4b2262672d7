package clusterconf

import (
	"fmt"
	"strconv"
)

// rule is one rule that every document must keep. Rules see each other's
// broken documents, so none may rely on another.
type rule struct {
	id         string
	references bool // looks one part of the document up in another
	check      func(d *Document, report reportFunc)
}

// reportFunc notes that the value at path breaks the rule.
type reportFunc func(path, hint, format string, args ...any)

// rules is all that is checked, the specification's chapter 6 and 9 among it.
var rules = []rule{
	{"revision", false, checkRevision},
	{"level", false, checkLevel},
	{"system", false, checkSystem},
	{"change-text", false, checkChangeText},
	{"lineage", false, checkLineage},
	{"has-server", false, checkHasServer},
	{"server-name", false, checkServerNames},
	{"server-once", false, checkServersOnce},
	{"interface", false, checkInterfaces},
	{"server-role", false, checkServerRoles},
	{"lim-number", false, checkLIMNumbers},
	{"lim-one-server", false, checkLIMOneServer},
	{"lim-once", false, checkLIMsOnce},
	{"lim-server", true, checkLIMServers},
	{"service", false, checkServices},
	{"check", false, checkAbilityChecks},
	{"media-server", false, checkMediaServers},
	{"media-server-alias", true, checkMediaServerAliases},
	{"media-server-apart", false, checkMediaServersApart},
	{"gateway", false, checkGateways},
	{"prompts", false, checkPrompts},
	{"address", false, checkAddresses},
	{"address-once", false, checkAddressesOnce},
	{"reached-at", true, checkReachedAt},
	{"cluster-name", false, checkClusterNames},
	{"cluster-once", false, checkClustersOnce},
	{"cluster-size", false, checkClusterSizes},
	{"cluster-count", true, checkClusterCount},
	{"standby", true, checkStandbys},
	{"standby-one-cluster", false, checkStandbyOneCluster},
	{"member-server", true, checkMemberServers},
	{"lim-one-cluster", false, checkLIMOneCluster},
	{"same-subnet", true, checkSameSubnet},
	{"one-family", true, checkOneFamily},
	{"choice", false, checkChoices},
	{"failover-after", false, checkFailoverAfter},
	{"priority", false, checkPriorities},
	{"preloaded", false, checkPreloaded},
	{"leaving", true, checkLeaving},
	{"lock-time", false, checkLockTimes},
	{"lock-text", false, checkLockText},
	{"maintenance", false, checkMaintenance},
	{"management", false, checkManagement},
	{"management-pair", true, checkManagementPair},
	{"management-service", false, checkManagementServices},
}

// Validate checks every rule and returns what breaks them, without line and
// column. A nil result means that the document may be stored.
func Validate(d *Document) []Violation {
	var all []Violation
	for _, r := range rules {
		all = append(all, r.violations(d)...)
	}
	return all
}

// violations checks one rule.
func (r rule) violations(d *Document) (found []Violation) {
	r.check(d, func(path, hint, format string, args ...any) {
		found = append(found, Violation{Path: path, Rule: r.id, Message: fmt.Sprintf(format, args...), Hint: hint})
	})
	return found
}

// at returns the path of an item: at("servers", 3) is servers[3].
func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// memberPath returns the path of a LIM's place in a cluster.
func memberPath(cluster, i int) string { return at(at("clusters", cluster)+".lims", i) }
