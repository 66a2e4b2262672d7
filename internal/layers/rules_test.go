package layers

import "regexp"

// rule holds one package to the part it has in the product.
type rule struct {
	pkg     string   // path below the module's root
	imports []string // the module's packages that it may import; no other
	because string
}

// arrows lists every package of the module. They run one way: commands and the
// agent on top, the document and the errors at the bottom.
var arrows = []rule{
	{"internal/fault", nil,
		"everybody's errors; what it imported, everybody would"},
	{"internal/trusted", []string{"internal/fault"},
		"who may change a file is the same question for settings and for software"},
	{"internal/nearest", nil,
		"a mistyped name is understood in the same way wherever it stands"},
	{"internal/levels", nil,
		"what a version understands is told alike by documents, agents and commands"},
	{"clusterconf", []string{"internal/fault", "internal/levels", "internal/nearest", "internal/safepath"},
		"the document and its rules hold without a network, an agent or a terminal"},
	{"clusterconf/clusterconftest", []string{"clusterconf"},
		"helpers of tests"},
	{"netops", []string{"internal/fanout", "internal/fault", "internal/nearest", "internal/netns"},
		"the boundary to the kernel knows addresses and interfaces, not clusters"},
	{"netops/netopstest", []string{"internal/fanout", "internal/fault", "netops"},
		"helpers of tests"},
	{"internal/fanout", nil,
		"who tells something knows nothing of who hears it"},
	{"internal/lineage", nil,
		"which data is newer is told by what versions say of themselves, the same for those who copy and those who decide"},
	{"xdata", []string{"internal/fault", "internal/lineage", "internal/safepath", "clusterconf",
		"xdata/internal/chunk", "xdata/internal/manifest", "xdata/internal/tree", "xdata/internal/wire", "xdata/internal/transfer", "internal/remoteshell"},
		"data versions are copied and verified whether an agent runs or not; its tests alone start programs on other servers"},
	{"xdata/internal/chunk", nil,
		"bounds and hashes of content are computed, wherever that comes from"},
	{"xdata/internal/manifest", []string{"internal/fault", "internal/lineage", "xdata/internal/chunk"},
		"what a version is and what a peer may say of it is told without a disk or a connection"},
	{"xdata/internal/tree", []string{"internal/fault", "internal/lineage", "internal/safepath", "xdata/internal/chunk", "xdata/internal/manifest"},
		"the files of one folder, whichever store or transfer they are for"},
	{"xdata/internal/wire", []string{"internal/fault", "internal/levels", "internal/lineage", "clusterconf", "xdata/internal/chunk", "xdata/internal/manifest"},
		"what goes between two servers is understood without a store"},
	{"xdata/internal/transfer", []string{"internal/fault", "internal/safepath", "xdata/internal/chunk", "xdata/internal/manifest", "xdata/internal/tree", "xdata/internal/wire"},
		"a version goes from one folder to another; which, and whether it may, the store decides"},
	{"xdata/internal/datatest", []string{"internal/fault"},
		"helpers of tests"},
	{"internal/remoteshell", []string{"internal/fault", "internal/services"},
		"ssh is started in the same way for syncs and for all else"},
	{"internal/safepath", []string{},
		"who plants links is met in one place, whatever the file is for"},
	{"internal/failover", []string{"internal/levels", "internal/lineage", "clusterconf"},
		"decisions can be simulated and tested by the thousand only while they depend on nothing but the view"},
	{"internal/detector/evidence", nil,
		"what a silence proves is computed from times alone"},
	{"internal/detector", []string{"internal/arpbudget", "internal/detector/evidence", "internal/failover", "netops"},
		"who is silent is judged beside the agent's main loop; what follows from it is decided there; failover says in which words it is told"},
	{"internal/arpbudget", nil,
		"who may send how many packets is counted for all senders of an interface alike"},
	{"internal/member", []string{"internal/fault", "internal/member/seal"},
		"gossip knows nothing about what it carries"},
	{"internal/member/seal", []string{},
		"who is believed is decided without I/O, a clock or a disk"},
	{"internal/member/membernet", []string{},
		"a network in memory for tests and simulations of whole clusters"},
	{"internal/services", []string{"internal/fault", "internal/trusted", "clusterconf"},
		"starting software is ordered by the agent, never the other way round"},
	{"internal/services/servicestest", []string{"internal/services"},
		"helpers of tests"},
	{"internal/rehearsal", []string{"internal/failover", "clusterconf"},
		"which LIM is tried, and when, follows from what is given; it starts nothing"},
	{"internal/confine", []string{"internal/failover", "internal/netns", "internal/netns/netnstest", "internal/rehearsal", "internal/services", "clusterconf"},
		"what confines software knows one rehearsal, and no agent: it is another process"},
	{"internal/services/systemdtest", nil,
		"helpers of tests"},
	{"internal/arbiter", []string{"internal/fault", "netops"},
		"a third party is asked about names and numbers; what they mean is the agent's business; netops says where from"},
	{"internal/arbiter/keeper", []string{"internal/arbiter", "internal/failover"},
		"keys are kept beside the agent's main loop; for what, the agent says; failover says in which words it is told"},
	{"internal/arbiter/arbitertest", []string{"internal/arbiter"},
		"helpers of tests"},
	{"internal/arbiter/etcdtest", nil,
		"helpers of tests"},
	{"docs/reference/alarms", nil,
		"pages of text, which commands show"},
	{"internal/alarms", nil,
		"which alarms are raised follows from what is given; it looks at nothing"},
	{"internal/sinks", []string{"internal/alarms"},
		"who is told of an alarm knows alarms, and no agent: it tells beside it"},
	{"internal/snmp", []string{"internal/alarms", "internal/sinks", "internal/status"},
		"SNMP is spoken in one place; what it says comes from a message or an answer of status"},
	{"internal/web", []string{"internal/control", "internal/events", "internal/status"},
		"HTTP asks the agent as the control socket does, and has no way to order anything"},
	{"internal/status", []string{"internal/fault", "internal/levels", "internal/nearest", "internal/failover", "internal/lineage", "internal/alarms", "clusterconf"},
		"answers are built from values alone, so that commands and agents give the same ones"},
	{"internal/settings", []string{"internal/fault", "internal/nearest", "clusterconf"},
		"settings are read before anything else is there"},
	{"internal/rotation", []string{"internal/fault", "internal/settings"},
		"what a server does with its gossip keys follows from what all say of theirs; who says it, and how, is the agent's"},
	{"internal/events", []string{"internal/fault"},
		"events are read by commands where no agent runs"},
	{"internal/netfiles", nil,
		"it reads other tools' files from a file system that is given to it, and knows addresses alone"},
	{"internal/sshlogin", []string{"internal/fault", "internal/trusted"},
		"keys and who may use them are files; the remote shell itself is started elsewhere"},
	{"internal/whatif", []string{"internal/fault", "internal/nearest", "internal/detector/evidence", "internal/failover", "internal/lineage", "clusterconf"},
		"simulate asks the brain itself, with an agent and without one; commands and agent share the answer"},
	{"internal/explain", []string{"internal/alarms", "internal/failover", "internal/status", "internal/whatif", "clusterconf"},
		"sentences about an answer that others gave: of status, of a simulation"},
	{"internal/swap", []string{"internal/fault", "clusterconf", "netops"},
		"an exchange of addresses is decided and done alike by an agent and by a command where none runs"},
	{"internal/control", []string{"internal/fault", "internal/levels", "internal/status", "internal/events", "internal/failover", "internal/whatif", "clusterconf"},
		"client and server share the calls; the agent is behind the Backend interface; failover says which orders there are"},
	{"internal/check", []string{"internal/failover", "clusterconf"},
		"what a system lacks follows from what its servers say; by whom they are asked is another's; failover says in which words life is told"},
	{"internal/manager", []string{"internal/fault", "clusterconf"},
		"what the management system needs and how it stands follows from what was seen; by whom, and how, is another's"},
	{"internal/manager/postgres", []string{"internal/manager"},
		"PostgreSQL is asked in one place; what its answers mean is decided without it"},
	{"internal/manager/postgres/postgrestest", nil,
		"helpers of tests"},
	{"internal/export", []string{"internal/fault"},
		"an encrypted archive is read and written whatever is in it"},
	{"internal/ui", []string{"internal/fault"},
		"what the terminal shows is given to it; it looks nothing up"},
	{"internal/netns", []string{"internal/fault"},
		"namespaces serve the lab and the tests of every layer, so they belong below all of them"},
	{"internal/netns/netnstest", []string{"internal/fault", "internal/netns"},
		"helpers of tests"},
	{"internal/badfs", nil,
		"files that the disk does not give back, for the tests of who meets them; nothing of it is in the program"},
	{"internal/agent", []string{
		"internal/fault", "internal/levels", "internal/failover", "internal/lineage", "internal/member", "internal/services", "internal/control", "internal/status",
		"internal/settings", "internal/alarms", "internal/events", "internal/whatif", "internal/arbiter", "internal/arbiter/keeper", "internal/arpbudget", "internal/detector", "internal/detector/evidence", "internal/netfiles", "internal/rehearsal", "internal/rotation", "internal/sinks", "internal/swap", "internal/safepath", "clusterconf", "netops", "xdata"},
		"the agent serves commands and must run without them"},
	{"internal/lab", []string{
		"internal/fault", "internal/netns", "internal/control", "internal/status", "internal/settings", "clusterconf", "netops"},
		"the lab drives the program from outside, as its users do: its agents are processes"},
	{"commands", []string{
		"internal/fault", "internal/levels", "internal/nearest", "internal/check", "internal/netfiles", "internal/confine", "internal/failover", "internal/rehearsal", "internal/control", "internal/settings", "internal/status", "internal/events", "internal/explain", "internal/export", "internal/whatif", "internal/ui", "internal/lab", "internal/manager", "internal/safepath", "internal/services", "internal/snmp", "internal/sshlogin", "internal/swap", "internal/trusted", "internal/remoteshell",
		"docs/reference/alarms", "clusterconf", "netops", "xdata"},
		"commands give orders to the agent through its socket; main wires the agent itself"},
	{"bench/sync", nil, "it makes data of nothing"},
	{"bench/mutants", nil, "it knows the tree as text alone"},
	{"internal/gendocs", []string{"commands"},
		"pages are made of the commands alone; nothing of it is in the program"},
	{"internal/layers", nil, "this test"},
	{"cmd/mxcluster", []string{"..."},
		"main wires everything together"},
}

// ban keeps an import or a call inside the packages that it is the work of.
type ban struct {
	what    string   // import path, with /... for those below it too, or a call such as os.Exit
	only    []string // packages that may; /... as above
	because string
}

var bannedImports = []ban{
	{"os/exec", []string{"bench/mutants", "internal/confine", "internal/services", "internal/sinks", "internal/lab", "internal/netns/netnstest", "internal/arbiter/etcdtest", "internal/services/systemdtest", "internal/manager/postgres/postgrestest", "internal/remoteshell", "cmd/mxcluster"},
		"a program that is run is a way to hang, to leak and to be fooled: LIM software, the process that confines it, the program that is told of alarms, the lab's agents, the remote shell and the user's editor are all there is"},
	{"net/http", []string{"internal/control", "internal/web"},
		"the agent's socket, which checks who calls, and what is served to be read alone are all that speaks HTTP"},
	{"github.com/prometheus/...", []string{"internal/web"},
		"metrics are of who serves them"},
	{"github.com/gosnmp/...", []string{"internal/snmp"},
		"SNMP is spoken in one place"},
	{"net", []string{"netops", "netops/netopstest", "internal/arbiter", "internal/arbiter/etcdtest", "internal/control", "internal/detector", "internal/member", "internal/member/membernet", "internal/netns", "internal/agent", "internal/lab", "internal/manager/postgres", "internal/sinks", "internal/snmp", "internal/swap", "internal/web", "commands", "cmd/mxcluster"},
		"addresses as values are net/netip; hardware addresses and sockets are for those who meet the wire"},
	{"github.com/coreos/go-systemd/v22/dbus", []string{"internal/services", "internal/services/systemdtest"},
		"systemd is one way to run a LIM's software, and only package services knows the ways"},
	{"github.com/hashicorp/memberlist/...", []string{"internal/member", "internal/member/membernet"},
		"membership is behind a small interface, for a simulated network in tests"},
	{"github.com/vishvananda/...", []string{"netops", "internal/netns"},
		"what the kernel is asked for is behind small interfaces with fakes"},
	{"github.com/google/nftables/...", []string{"netops"},
		"the kernel's rules are asked for in one place"},
	{"github.com/mdlayher/...", []string{"netops", "internal/lab"},
		"raw frames are made and read in one place, and by the lab's switch"},
	{"github.com/coreos/go-systemd/v22/daemon", []string{"cmd/mxcluster"},
		"the service manager is told by main; the agent has a function for it"},
	{"github.com/spf13/cobra/...", []string{"commands", "internal/gendocs"},
		"flags and arguments end in commands; pages and scripts are made of those"},
	{"github.com/spf13/cobra/doc", []string{"internal/gendocs"},
		"its Markdown and roff have no place in the program"},
	{"github.com/spf13/viper", []string{"internal/settings"},
		"viper lower-cases keys: settings may, the cluster document must never go through it"},
	{"github.com/olekukonko/...", []string{"internal/ui"},
		"tables look the same everywhere"},
	{"log", []string{"internal/member"},
		"log records have levels and fields (log/slog); memberlist alone asks for the old kind"},
	{"go.etcd.io/...", []string{"internal/arbiter", "internal/arbiter/etcdtest"},
		"etcd is one arbiter, behind a small interface, with another one in memory for tests"},
	{"google.golang.org/grpc/...", []string{"internal/arbiter"},
		"what etcd's client is made of"},
	{"go.uber.org/zap", []string{"internal/arbiter", "internal/arbiter/etcdtest"},
		"etcd's client wants a logger of its own kind, and gets one that is silent"},
	{"filippo.io/...", []string{"internal/export"},
		"what is encrypted for people is written in one place"},
	{"github.com/google/jsonschema-go/...", []string{"commands"},
		"schemas are of what commands read and print"},
	{"github.com/jackc/pgx/...", []string{"internal/manager/postgres"},
		"PostgreSQL is asked in one place"},
	{"testing/...", []string{"xdata/internal/datatest", "internal/netns/netnstest", "internal/arbiter/etcdtest", "internal/services/systemdtest", "internal/manager/postgres/postgrestest"},
		"the program carries no test code"},
	{"gopkg.in/yaml.v3", nil,
		"one YAML library is enough: go.yaml.in/yaml/v3"},
	{"unsafe", []string{"netops", "internal/netns"},
		"only the kernel's own structures could ask for it"},
	{"C", nil,
		"releases are static and built for other machines without a C compiler"},
}

var bannedCalls = []ban{
	{"os.Exit", []string{"bench/mutants", "bench/sync", "cmd/mxcluster"},
		"an exit anywhere else skips what others deferred: addresses, locks, temporary files"},
	{"log.Fatal", nil, "it is os.Exit"},
	{"log.Fatalf", nil, "it is os.Exit"},
	{"log.Fatalln", nil, "it is os.Exit"},
	{"signal.Notify", []string{"cmd/mxcluster", "internal/lab"},
		"signals end the context that main makes; a second listener would race with it"},
	{"signal.NotifyContext", []string{"cmd/mxcluster", "internal/lab"},
		"signals end the context that main makes; a second listener would race with it"},
}

// forTests are the packages that only tests may import, and those among them.
var forTests = regexp.MustCompile(`test$|^internal/(badfs|member/membernet)$`)

// opensSockets may use the parts of net that reach out of the process.
var opensSockets = []string{"netops", "internal/arbiter", "internal/arbiter/etcdtest", "internal/control", "internal/member", "internal/member/membernet", "internal/netns", "internal/agent", "internal/lab", "internal/manager/postgres", "internal/sinks", "internal/web"}

var socketCalls = []string{
	"net.Dial", "net.DialTimeout", "net.Dialer", "net.DialTCP", "net.DialUDP", "net.DialUnix", "net.Listen", "net.ListenConfig",
	"net.ListenPacket", "net.ListenTCP", "net.ListenUDP", "net.ListenUnix", "net.Resolver", "net.LookupHost", "net.LookupIP", "net.LookupAddr",
}

// pure packages take time as a value and do nothing but compute.
var pure = []string{"internal/levels", "internal/failover", "internal/detector/evidence", "internal/lineage", "internal/status", "internal/alarms", "internal/whatif", "internal/explain", "internal/check", "internal/manager", "internal/rehearsal"}

var impureImports = []string{
	"context", "io", "net", "os", "sync", "syscall", "math/rand", "math/rand/v2", "crypto/rand", "runtime", "log/slog",
}

var clockCalls = []string{
	"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick", "time.NewTimer", "time.NewTicker",
}
