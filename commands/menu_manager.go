package commands

import (
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
)

// manager offers what the specification's "Redundancy" does: the set-up, and then its five utilities
// (spec ch. 9).
func (g *guide) manager() []string {
	chosen := g.pick("What to do with the management system", "", managerUtilities)
	switch chosen {
	case "setup", "reconfigure":
		return append([]string{chosen}, g.managerSetup()...)
	case "remove":
		g.loses = true
	}
	return []string{chosen}
}

// managerUtilities are those that there is something for.
func managerUtilities(store *clusterconf.Store, _ []string) []cobra.Completion {
	if doc, err := store.Read(); err != nil || doc.Management == nil {
		return []cobra.Completion{
			"discover\twhich servers, addresses and PostgreSQL there are",
			"check\twhat stands in the way",
			"setup\tmake it redundant: on the master first, and then on the standby",
		}
	}
	return []cobra.Completion{
		"status\thow the two servers stand",
		"reconfigure\tchange the set-up: on the master first, and then on the standby",
		"fallback\tmove it back to the master, once LIM 1 is there",
		"reconfigure-fallback\tgive it the fallback type of the cluster",
		"remove\tend its redundancy: on the master first, and then on the standby",
		"setup\tof the standby, or one that was interrupted",
	}
}

func (g *guide) managerSetup() []string {
	role := g.oneOf("Role of this server", string(manager.Master), string(manager.Master), string(manager.Standby))
	vip, user, synchronous := "", "mxone_replication", "off"
	if m := g.doc.Management; m != nil {
		vip, user = m.Address.Addr().String(), m.ReplicationUser
		if m.Synchronous {
			synchronous = "on"
		}
	}
	pair, err := manager.Find(g.doc)
	if err != nil {
		g.err = err
		return nil
	}
	vip = g.text("Virtual address, no alias of a LIM", vip, func(answer string) error {
		address, err := clusterconf.ParseAddress(answer, pair.Master.Base)
		if err != nil {
			return err
		}
		return g.try(func(d *clusterconf.Document) error { return managementAt(d, address) })
	})
	user = g.text("Name of the replication role, the same on both servers", user, anyName)
	password := g.text("File with its password, which only root may read, the same on both servers", "", aPassword)
	const none = "none"
	account := g.text("File with the password of the account "+managerAccount+", to be set on this server", none, func(answer string) error {
		if answer == none {
			return nil
		}
		return aPassword(answer)
	})
	synchronous = g.oneOf("Whether a commit waits for the other server", synchronous, "off", "on")
	return slices.Concat([]string{"--role", role, "--vip", vip, "--replication-user", user, "--password-file", password},
		flagIf("--manager-password-file", account, none), flagIf("--synchronous", synchronous, "off"))
}

// managementAt tells what a document has against a virtual address.
func managementAt(d *clusterconf.Document, address netip.Prefix) error {
	if err := d.SetManagement(clusterconf.Management{Address: address, ReplicationUser: "mxone_replication", Fallback: clusterconf.FallbackManual}); err != nil {
		return err
	}
	if broken := clusterconf.Validate(d); len(broken) > 0 {
		return fault.New(fault.Refused, broken[0].Hint, "%s", broken[0].Message)
	}
	return nil
}

// aPassword tells why a file is none with a password.
func aPassword(path string) error {
	_, err := readPassword(path)
	return err
}

// noManager says why there is nothing to do for the management system.
func (g *guide) noManager() string {
	if why := g.noCluster(); why != "" {
		return why
	}
	if _, err := manager.Find(g.doc); err != nil {
		return err.Error()
	}
	return ""
}
