package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

const (
	maxOffset  = 2 * time.Second // between the clocks of two servers: a sync is refused beyond it
	nearOffset = time.Second     // soon beyond it
	spaceKept  = 64 << 20        // bytes that stay free on the file system of the data
	backups    = 2               // of every LIM, that there must be room for (spec ch. 6)
	// backupMinutes is how long a backup may take to the other server: it is there before the next
	// thing goes wrong.
	backupMinutes = 10
	// takeoverARP is how many ARP packets the first second of a takeover takes: two questions
	// and six announcements.
	takeoverARP = 8
	// arpIgnoreAll is the ARPIgnore by which no question is answered.
	arpIgnoreAll = 8
)

// Settings of the kernel, in net.ipv4.conf or net.ipv6.conf: of "all" and of an interface the larger
// counts.
const (
	DropGratuitousARP = "drop_gratuitous_arp"
	DropUnsolicitedNA = "drop_unsolicited_na"
	ARPIgnore         = "arp_ignore"
)

// unasked is what is said of a server that gives no facts.
func (j *judge) unasked(s *clusterconf.Server) {
	j.add("facts", s.Name, Unknown, "an answer of mxcluster there", "mxcluster sync setup-ssh "+s.Name+", or run 'mxcluster check' there",
		"%s was not asked: %s", s.Name, orElse(j.Asked[s.Name].Why, "no reason is known"))
}

// server judges the facts of one server by themselves.
func (j *judge) server(s *clusterconf.Server, f *Facts) {
	j.tried("gossip-key", s.Name, Try{Problem: f.KeyProblem}, Failed, "a key that its owner alone can read", "see 'mxcluster key show' on "+s.Name, "fingerprint "+f.Key)
	j.agent(s, f)
	j.link(s, f)
	j.addresses(s, f)
	j.tried("blocking", s.Name, f.Blocking, Failed, "rules of nftables on interfaces, in and out", "load the kernel modules nf_tables and nft_fwd_netdev, or use a kernel of 5.16 or newer", "an address was blocked and unblocked")
	j.brings(s, f)
	j.software(s, f)
	j.neighbours(s, f)
	j.gateway(s, f)
	j.room(s, f)
	j.clock(s, f)
	j.budget(s, f)
	if f.OwnUser != "" {
		j.tried("own-user", s.Name, Try{Problem: f.UnitsMissing}, Failed, "the units of user "+f.OwnUser, "see docs/own-user.md", "the units of "+f.OwnUser+" are there")
	}
}

func (j *judge) agent(s *clusterconf.Server, f *Facts) {
	const name, needed = "agent", "a running agent that is ready"
	switch a := f.Agent; {
	case a == nil:
		j.add(name, s.Name, Failed, needed, "systemctl start mxcluster-agent, on "+s.Name, "no agent answers: %s", f.AgentSilent)
	case !a.Ready:
		j.add(name, s.Name, Warning, needed, "wait a moment; then 'mxcluster agent status' on "+s.Name, "it has not settled with the others yet")
	default:
		j.add(name, s.Name, OK, needed, "", "it runs and is ready")
	}
	if f.Agent != nil {
		j.tried("settings", s.Name, Try{Problem: f.Agent.Settings}, Warning, "an agent that works by the settings on the disk", "systemctl restart mxcluster-agent, on "+s.Name, "it does")
	}
}

func (j *judge) link(s *clusterconf.Server, f *Facts) {
	l := f.Link
	if l == nil {
		j.add("interface", s.Name, Failed, s.Interface+", up", "ip link show, on "+s.Name+"; then 'mxcluster server set "+s.Name+" --interface IF'", "%s", orElse(f.LinkProblem, "there is no interface "+s.Interface))
		return
	}
	v, word := OK, "up"
	if !l.Up {
		v, word = Failed, "down"
	}
	j.add("interface", s.Name, v, s.Interface+", up", "ip link set "+l.Name+" up, on "+s.Name+"; look at its cable", "%s is %s", l.Name, word)
	needed := "promote_secondaries=1, so that a base stays when an alias goes"
	remedy := fmt.Sprintf("sysctl -w net.ipv4.conf.%s.promote_secondaries=1, on %s", l.Name, s.Name)
	holds := slices.ContainsFunc(j.aliasesOf(s), func(m clusterconf.Member) bool {
		return slices.ContainsFunc(f.Addresses, func(a Address) bool { return a.Prefix == m.Alias })
	})
	switch {
	case s.Base.Addr().Is6():
	case l.Promotes == nil:
		j.add("promote-secondaries", s.Name, Unknown, needed, remedy, "the kernel does not say")
	case !*l.Promotes && f.Blind != "":
		j.add("promote-secondaries", s.Name, Unknown, needed, remedy, "0 on %s, and it was not seen whether an alias is there", l.Name)
	case !*l.Promotes && holds:
		j.add("promote-secondaries", s.Name, Failed, needed, remedy, "0 on %s", l.Name)
	case !*l.Promotes:
		j.add("promote-secondaries", s.Name, OK, needed, "", "0 on %s, where no alias is; an agent sets it before it adds one", l.Name)
	default:
		j.add("promote-secondaries", s.Name, OK, needed, "", "1 on %s", l.Name)
	}
}

// aliasesOf returns the aliases that a server may hold.
func (j *judge) aliasesOf(s *clusterconf.Server) []clusterconf.Member {
	c := j.Document.ClusterOfServer(s.Name)
	if c == nil {
		return nil
	}
	if c.Standby == s.Name {
		return c.LIMs
	}
	if m := c.Member(s.LIM); m != nil {
		return []clusterconf.Member{*m}
	}
	return nil
}

// neighbours judges what a server's kernel does with ARP: whether it learns where an alias has gone,
// and whether it tells where its own addresses are.
func (j *judge) neighbours(s *clusterconf.Server, f *Facts) {
	const name = "neighbours"
	family, deaf := "ipv4", DropGratuitousARP
	if s.Base.Addr().Is6() {
		family, deaf = "ipv6", DropUnsolicitedNA
	}
	needed := deaf + "=0: what announces an alias is taken in"
	fix := func(setting string) string {
		return fmt.Sprintf("sysctl -w net.%[1]s.conf.%[2]s.%[3]s=0 net.%[1]s.conf.all.%[3]s=0, on %[4]s, and in /etc/sysctl.d", family, s.Interface, setting, s.Name)
	}
	switch drops, seen := f.ARP[deaf]; {
	case f.Link == nil:
	case !seen:
		j.add(name, s.Name, Unknown, needed, "run 'mxcluster check' there; if that is an earlier version, upgrade it", "%s was not seen", deaf)
	case drops != 0:
		j.add(name, s.Name, Failed, needed, fix(deaf), "%s is %d: %s goes on sending to where an alias was", deaf, drops, s.Name)
	case f.ARP[ARPIgnore] == arpIgnoreAll:
		j.add(name, s.Name, Failed, "an "+ARPIgnore+" other than 8: questions for an address are answered", fix(ARPIgnore), "%s is 8: %s answers none", ARPIgnore, s.Name)
	default:
		j.add(name, s.Name, OK, needed, "", "%s is 0", deaf)
	}
}

func (j *judge) addresses(s *clusterconf.Server, f *Facts) {
	needed := s.Base.String() + " on " + s.Interface + ", without an end"
	if f.Blind != "" {
		for _, name := range []string{"base", "alias"} {
			j.add(name, s.Name, Unknown, needed, "run 'mxcluster check' as root", "%s", f.Blind)
		}
		return
	}
	remedy := fmt.Sprintf("ip address add %s dev %s, on %s, and in the network configuration", s.Base, s.Interface, s.Name)
	i := slices.IndexFunc(f.Addresses, func(a Address) bool { return a.Prefix.Addr() == s.Base.Addr() })
	switch {
	case i < 0:
		j.add("base", s.Name, Failed, needed, remedy, "%s is on no interface", s.Base.Addr())
	case f.Link != nil && f.Addresses[i].Interface != f.Link.Name:
		j.add("base", s.Name, Failed, needed, "mxcluster server set "+s.Name+" --interface "+f.Addresses[i].Interface, "it is on %s", f.Addresses[i].Interface)
	case f.Addresses[i].Prefix != s.Base:
		j.add("base", s.Name, Failed, needed, "give it the length that the document has, in the network configuration of "+s.Name, "%s", f.Addresses[i].Prefix)
	case !f.Addresses[i].Permanent:
		j.add("base", s.Name, Warning, needed, "configure it as a fixed address on "+s.Name+", not by DHCP", "%s ends by itself unless it is renewed", f.Addresses[i].Prefix)
	default:
		j.add("base", s.Name, OK, needed, "", "%s on %s", s.Base, s.Interface)
	}
	for _, m := range j.aliasesOf(s) {
		name, needed := "alias", m.Alias.String()+", with a lifetime, while its agent holds it"
		at := slices.IndexFunc(f.Addresses, func(a Address) bool { return a.Prefix.Addr() == m.Alias.Addr() })
		switch {
		case m.Alias.Masked() != s.Base.Masked():
			j.add(name, s.Name, Failed, "a subnet with "+s.Base.String(), "see docs/howto/change-addresses.md", "the alias of LIM %d is %s", m.LIM, m.Alias)
		case at >= 0 && f.Addresses[at].Prefix.Bits() != m.Alias.Bits():
			j.add(name, s.Name, Warning, needed, fmt.Sprintf("ip address del %s dev %s, on %s", f.Addresses[at].Prefix, f.Addresses[at].Interface, s.Name), "%s", f.Addresses[at].Prefix)
		case at >= 0 && f.Addresses[at].Permanent && f.Agent != nil:
			j.add(name, s.Name, Warning, needed, fmt.Sprintf("ip address del %s dev %s, on %s: the agent brings it back if it is to be there", f.Addresses[at].Prefix, f.Addresses[at].Interface, s.Name),
				"the alias of LIM %d has no end: it would stay if the agent died", m.LIM)
		case at >= 0:
			j.add(name, s.Name, OK, needed, "", "LIM %d: held", m.LIM)
		default:
			j.add(name, s.Name, OK, needed, "", "LIM %d: not here", m.LIM)
		}
	}
}

func (j *judge) brings(s *clusterconf.Server, f *Facts) {
	const name, needed = "network-configuration", "nothing but the agent brings an alias up"
	for _, b := range f.Brings {
		j.add(name, s.Name, Warning, needed, b.Remedy, "%s: %s", b.Alias, b.Where)
	}
	switch {
	case f.BringsBlind != "":
		j.add(name, s.Name, Unknown, needed, "run 'mxcluster check' as root", "%s", f.BringsBlind)
	case len(f.Brings) == 0:
		j.add(name, s.Name, OK, needed, "", "nothing does")
	}
}

func (j *judge) software(s *clusterconf.Server, f *Facts) {
	const name = "software"
	for _, lim := range slices.Sorted(maps.Keys(f.Software)) {
		needed := fmt.Sprintf("what LIM %d is made of", lim)
		remedy := fmt.Sprintf("install it on %s; 'mxcluster lim show %d' has its services", s.Name, lim)
		j.tried(name, s.Name, f.Software[lim], Failed, needed, remedy, fmt.Sprintf("LIM %d can start", lim))
	}
	for _, lim := range f.Unset {
		j.add(name, s.Name, Warning, "services", fmt.Sprintf("mxcluster lim set %d --service SPEC", lim), "LIM %d has no services: a takeover moves its address alone", lim)
	}
}

func (j *judge) gateway(s *clusterconf.Server, f *Facts) {
	const name, needed = "witness", "a gateway that answers, or other servers"
	if j.Document.ClusterOfServer(s.Name) == nil {
		return
	}
	answers := slices.IndexFunc(f.Gateways, func(g Gateway) bool { return g.Try == Try{} })
	remedy := "let the gateway answer ARP and ICMP echo; or set an arbiter (docs/arbiter.md)"
	switch {
	case f.GatewayTry.Unseen != "":
		j.add(name, s.Name, Unknown, needed, remedy, "%s", f.GatewayTry.Unseen)
	case answers >= 0:
		j.add(name, s.Name, OK, needed, "", "gateway %s answers", f.Gateways[answers].Address)
	case len(f.Gateways) > 0 && f.Gateways[0].Problem == "":
		j.add(name, s.Name, Unknown, needed, remedy, "gateway %s: %s", f.Gateways[0].Address, f.Gateways[0].Unseen)
	case len(f.Gateways) > 0:
		j.add(name, s.Name, Warning, needed, remedy, "gateway %s: %s", f.Gateways[0].Address, f.Gateways[0].Problem)
	case len(j.Document.Servers) > 2 && j.seesAnother(f):
		j.add(name, s.Name, OK, needed, "", "no gateway; the other servers are")
	case len(j.Document.Servers) > 2:
		j.add(name, s.Name, Unknown, needed, remedy, "no gateway; that it hears other servers was not seen")
	default:
		j.add(name, s.Name, Warning, needed, "give "+s.Name+" a route over a gateway that answers; or set an arbiter (docs/arbiter.md)", "none: without the other server %s hears nobody, and takes nothing over by itself", s.Name)
	}
}

// seesAnother reports whether a server hears at least two others: the one that it takes over from is
// no witness.
func (j *judge) seesAnother(f *Facts) bool {
	if f.Agent == nil {
		return false
	}
	heard := 0
	for _, is := range f.Agent.Hears {
		if is == string(failover.Alive) {
			heard++
		}
	}
	return heard > 1
}

func (j *judge) room(s *clusterconf.Server, f *Facts) {
	const name = "disk"
	lims := j.aliasesOf(s)
	if len(lims) == 0 {
		return
	}
	var need int64
	unseen := "" // whose backups may be larger
	for _, m := range lims {
		var largest int64
		for name, a := range j.Asked {
			if a.Facts != nil {
				largest = max(largest, a.Facts.Backups[m.LIM])
			}
			runs := name == j.Document.ClusterOfLIM(m.LIM).Standby || name == j.Document.RegularOf(m.LIM).Name
			if runs && (a.Facts == nil || a.Facts.DataProblem != "") {
				unseen = name
			}
		}
		need += largest * backups
	}
	needed := fmt.Sprintf("%d MB: two backups of every LIM here, and %d MB that stay free", mb(need+spaceKept), mb(spaceKept))
	remedy := "make room in the data folder of " + s.Name + ", or 'mxcluster xdata prune' there"
	switch {
	case f.DataProblem != "" || f.Free == nil:
		j.add(name, s.Name, Unknown, needed, remedy, "%s", orElse(f.DataProblem, "what is free was not seen"))
	case *f.Free < need+spaceKept:
		j.add(name, s.Name, Failed, needed, remedy, "%d MB are free", mb(*f.Free))
	case unseen != "":
		j.add(name, s.Name, Unknown, needed, "run 'mxcluster check' on the standby, or on "+unseen, "%d MB are free; the data of %s were not seen", mb(*f.Free), unseen)
	default:
		j.add(name, s.Name, OK, needed, "", "%d MB are free", mb(*f.Free))
	}
}

func (j *judge) clock(s *clusterconf.Server, f *Facts) {
	const remedy = "set up NTP on all servers: see docs/howto/time.md"
	if s.Name != j.Observer {
		off := j.Asked[s.Name].Offset.Abs().Round(10 * time.Millisecond)
		v := OK
		switch {
		case off > maxOffset:
			v = Failed
		case off > nearOffset:
			v = Warning
		}
		j.add("clock", s.Name, v, "at most "+maxOffset.String()+" apart: the time of files says which data are newer", remedy, "%s apart from %s", off, j.Observer)
	}
	const name, needed = "time-service", "a service that keeps the clock"
	switch {
	case f.ClockKept != nil && *f.ClockKept:
		j.add(name, s.Name, OK, needed, "", "the kernel says that the clock is kept")
	case f.ClockKept == nil || f.ClockService == "":
		j.add(name, s.Name, Unknown, needed, remedy, "no service is to be seen; the host of a container or virtual machine may keep the clock")
	default:
		j.add(name, s.Name, Warning, needed, remedy, "%s", f.ClockService)
	}
}

func (j *judge) budget(s *clusterconf.Server, f *Facts) {
	aliases := len(j.aliasesOf(s))
	if aliases == 0 {
		return
	}
	least := takeoverARP + 1 + (aliases+1)/2
	needed := fmt.Sprintf("arp.budget of %d or more, or 0: %d ARP packets for a takeover, and a question for each of %d aliases in two seconds", least, takeoverARP, aliases)
	v := OK
	if f.ARPBudget != 0 && f.ARPBudget < least {
		v = Warning
	}
	j.add("arp-budget", s.Name, v, needed, fmt.Sprintf("set arp.budget to %d on %s, and allow its switch port as many", least, s.Name), "%d", f.ARPBudget)
}

// system judges what servers say of each other, and what must be the same on all.
func (j *judge) system() {
	j.same("version", Warning, "one version on every server", "mxcluster upgrade check", func(f *Facts) (string, string) { return f.Version, f.Version })
	j.same("document", Failed, "the newest revision on every server", "mxcluster agent status, on the server that is behind", func(f *Facts) (string, string) {
		return f.Hash, fmt.Sprintf("revision %d", f.Revision)
	})
	j.same("gossip-key", Failed, "one key on every server", "mxcluster key show; 'mxcluster join' with the right key on the other", func(f *Facts) (string, string) { return f.Key, "fingerprint " + f.Key })
	for _, from := range j.Servers {
		f := j.Asked[from].Facts
		if f == nil {
			continue
		}
		for _, to := range j.Servers {
			if to == from || j.Document.Server(to) == nil {
				continue
			}
			j.pair(from, to, f)
		}
	}
}

// same judges what must not differ, as told by the observer's own.
func (j *judge) same(name string, differs Verdict, needed, remedy string, of func(*Facts) (value, words string)) {
	own := j.Asked[j.Observer].Facts
	if own == nil {
		return
	}
	mine, words := of(own)
	if mine == "" {
		return // it has a finding of its own
	}
	asked, same := 0, 0
	for _, server := range j.Servers {
		f := j.Asked[server].Facts
		if f == nil {
			continue
		}
		asked++
		theirs, other := of(f)
		switch theirs {
		case mine:
			same++
		case "":
		default:
			j.add(name, server, differs, needed, remedy, "%s; %s has %s", other, j.Observer, words)
		}
	}
	if same == asked {
		j.add(name, "", OK, needed, "", "%s on all %d that were asked", words, asked)
	}
}

// pair judges the way from one server to another.
func (j *judge) pair(from, to string, f *Facts) {
	there := j.Asked[to].Facts
	port := fmt.Sprintf("port %d", j.Port)
	firewall := fmt.Sprintf("let %s of TCP and UDP through from %s to %s: see docs/howto/firewall.md", port, from, to)
	tcp, tried := f.Ports[to]
	switch {
	case !tried:
	case there != nil && there.Agent == nil && tcp.Problem != "":
		j.add("gossip-tcp", from, Unknown, port+" of "+to, "start the agent of "+to, "no agent runs on %s", to)
	default:
		j.tried("gossip-tcp", from, tcp, Failed, port+" of "+to, firewall, "a connection to "+to)
	}
	j.heard(from, to, f, there)
	if segment, ok := f.Segments[to]; ok && f.Link != nil {
		needed := fmt.Sprintf("packets of %d bytes to %s", f.Link.MTU, to)
		j.tried("segment", from, segment, Failed, needed, "give both interfaces and the switches between them one MTU", fmt.Sprintf("%d bytes reach %s", f.Link.MTU, to))
	}
	if login, ok := f.Logins[to]; ok {
		j.tried("login", from, login, Failed, "a login on "+to+" at its base, for syncs", "mxcluster sync setup-ssh "+to+", on "+from, "mxcluster answers on "+to)
	}
	if from == j.Observer || to == j.Observer { // others need not have listened at the same time
		const needed = "gratuitous ARP passes between servers"
		switch {
		case slices.Contains(f.Announced, to):
			j.add("announcement", from, OK, needed, "", "that of %s was heard", to)
		case f.Deaf != "":
			j.add("announcement", from, Unknown, needed, "run 'mxcluster check' as root", "%s", f.Deaf)
		case there == nil || there.Deaf != "" || there.Link == nil || !there.Link.Up:
			why, remedy := "", "see what 'mxcluster check' says of "+to
			if there != nil && there.Deaf != "" {
				why = ": " + there.Deaf
			}
			j.add("announcement", from, Unknown, needed, remedy, "%s has announced nothing%s", to, why)
		default:
			j.add("announcement", from, Failed, needed, "let the switches pass gratuitous ARP: see docs/howto/switches.md", "that of %s was not heard", to)
		}
	}
}

// heard judges whether the datagrams of one agent reach another.
func (j *judge) heard(by, of string, f, there *Facts) {
	const name = "gossip-udp"
	needed := "heartbeats of " + of
	remedy := fmt.Sprintf("let port %d of UDP through from %s to %s: see docs/howto/firewall.md", j.Port, of, by)
	switch {
	case f.Agent == nil:
		j.add(name, by, Unknown, needed, "start the agent of "+by, "no agent listens on %s", by)
	case there != nil && there.Agent == nil:
		j.add(name, by, Unknown, needed, "start the agent of "+of, "no agent runs on %s", of)
	case f.Agent.Hears[of] == string(failover.Alive):
		j.add(name, by, OK, needed, "", "they arrive")
	case there == nil:
		j.add(name, by, Unknown, needed, remedy, "none are heard, and whether an agent runs on %s is not known", of)
	default:
		j.add(name, by, Failed, needed, remedy, "none are heard: %s", orElse(strings.TrimSpace(f.Agent.Hears[of]), "unknown"))
	}
}

// bandwidth judges whether a backup gets to another server and back in time, where that was
// measured.
func (j *judge) bandwidth() {
	const name = "bandwidth"
	if j.Bandwidth == nil {
		return
	}
	if len(j.Bandwidth) == 0 {
		j.add(name, j.Observer, Unknown, "a server that data are synchronised with", "mxcluster check --bandwidth, on a server of a cluster", "there is none to measure the way to")
	}
	for _, server := range slices.Sorted(maps.Keys(j.Bandwidth)) {
		b := j.Bandwidth[server]
		lim := max(j.Document.Server(j.Observer).LIM, j.Document.Server(server).LIM) // a standby has none
		var largest int64
		unseen := false
		for _, one := range []string{j.Observer, server} {
			f := j.Asked[one].Facts
			if unseen = unseen || f == nil || f.DataProblem != ""; f != nil {
				largest = max(largest, f.Backups[lim])
			}
		}
		needed := fmt.Sprintf("the largest backup of LIM %d, %d MB, gets there and back within %d minutes each", lim, mb(largest), backupMinutes)
		remedy := "a faster way between " + j.Observer + " and " + server + ": look at the speed of their interfaces and switch ports"
		slower := min(b.To, b.From)
		takes := time.Duration(float64(largest) / float64(max(slower, 1)) * float64(time.Second))
		measured := fmt.Sprintf("%s to %s, %s back", rate(b.To), server, rate(b.From))
		switch {
		case b.Try != Try{}:
			j.tried(name, j.Observer, b.Try, Warning, needed, remedy, "")
		case takes > backupMinutes*time.Minute:
			j.add(name, j.Observer, Warning, needed, remedy, "%s: it takes %s", measured, takes.Round(time.Second))
		case unseen:
			j.add(name, j.Observer, Unknown, needed, "mxcluster check, on "+server, "%s; how large its backups are was not seen", measured)
		case largest == 0:
			j.add(name, j.Observer, OK, needed, "", "%s; there is no backup of LIM %d yet", measured, lim)
		default:
			j.add(name, j.Observer, OK, needed, "", "%s: it takes %s", measured, takes.Round(time.Second))
		}
	}
}

// rate says how many bytes pass in a second.
func rate(n int64) string {
	if n < 1_000_000 {
		return fmt.Sprintf("%d kB/s", n/1000)
	}
	return fmt.Sprintf("%.1f MB/s", float64(n)/1e6)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// mb returns bytes in megabytes, rounded up.
func mb(n int64) int64 { return (n + 999_999) / 1_000_000 }
