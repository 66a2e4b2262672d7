//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// scenarioEnv names the scenario that a copy of the test program runs as the
// host of a lab.
const scenarioEnv = "MXCLUSTER_LAB_TEST_SCENARIO"

// TestMain lets the test program stand in for every process of the lab: the
// host, which runs a scenario of the tests, and, where a test needs no agents,
// the program in the servers.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "lab" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
		err := labProcess(ctx, os.Args[2], os.Args[4], os.Args[5:])
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(int(fault.CodeOf(err)))
	}
	os.Exit(runTests(m))
}

// programEnv names the folder where the tests build mxcluster.
const programEnv = "MXCLUSTER_LAB_TEST_PROGRAM"

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lab-program")
	if err == nil {
		err = os.Setenv(programEnv, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	return m.Run()
}

// program is mxcluster itself, for tests that need agents.
func program(t *testing.T) string {
	t.Helper()
	path, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildProgram builds mxcluster for the first test that asks for it.
var buildProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.Getenv(programEnv), "mxcluster")
	if out, err := exec.Command("go", "build", "-o", path, "mxcluster/cmd/mxcluster").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building mxcluster: %w\n%s", err, out)
	}
	return path, nil
})

// labProcess is one process of a lab: lab WHAT --lab DIR ARG
func labProcess(ctx context.Context, what, dir string, args []string) error {
	switch what {
	case "parent":
		return Launch(ctx, labOptions(os.Args[0], "", dir, args[0]))
	case "host":
		return Host{Dir: dir, Exe: args[0], Err: os.Stderr}.Run(ctx, scenarios()[os.Getenv(scenarioEnv)])
	case "server":
		return RunServer(ctx, dir, args[0])
	case "exchange":
		return NewExchange(dir, os.Getenv, os.Stdout).Run(ctx)
	}
	return errors.New("unknown process " + what)
}

// labOptions are for a lab whose host is the test program self.
func labOptions(self, exe, dir, scenario string) Options {
	return Options{
		Out: os.Stdout, Err: os.Stderr, Dir: dir,
		Host: []string{self, "lab", "host", "--lab", dir, exe},
		Env:  []string{scenarioEnv + "=" + scenario},
	}
}

// scenarios are what the tests run inside labs, by name.
func scenarios() map[string]Scenario {
	all := map[string]Scenario{
		"exec":                  execScenario,
		"processes":             processesScenario,
		"power":                 powerScenario,
		"cable":                 cableScenario,
		"exchange":              exchangeScenario,
		"refused":               refusedScenario,
		"endless":               endlessScenario,
		"silent-end":            silentEndScenario,
		"background-failure":    backgroundFailureScenario,
		"nothing":               func(context.Context, *Lab) error { return nil },
		"agent-killed":          agentKilledScenario,
		"actions":               actionsScenario,
		"alarms":                alarmsScenario,
		"maintenance":           maintenanceScenario,
		"agent-restarted":       agentRestartedScenario,
		"agent-frozen":          agentFrozenScenario,
		"stalled-log":           stalledLogScenario,
		"connection":            connectionScenario,
		"automatic":             automaticScenario,
		"management":            managementScenario,
		"new-data":              newDataScenario,
		"standby-cut-off":       standbyCutOffScenario,
		"regular-cut-off":       regularCutOffScenario,
		"loss":                  lossScenario,
		"shut-port":             shutPortScenario,
		"tampered":              tamperedScenario,
		"drain":                 drainScenario,
		"check":                 checkScenario,
		"checks":                checksScenario,
		"drain-calls":           drainCallsScenario,
		"rehearsal-kamailio":    rehearsalsOfKamailio(2, 1),
		"vanishing":             vanishingScenario,
		"rehearsal":             rehearsalScenario,
		"conflicts":             conflictsScenario,
		"foreign-host":          foreignHostScenario,
		"spoofed-mac":           spoofedMACScenario,
		"spoofed-mac-ipv6":      spoofedMACIPv6Scenario,
		"tricks":                tricksScenario,
		"links":                 linksScenario,
		"preloaded":             preloadedScenario,
		"delete-pair":           deletePairScenario,
		"dead-regulars":         deadRegularsScenario(false),
		"betrayals":             betrayalScenario,
		"dead-regulars-gateway": deadRegularsScenario(true),
		"kamailio":              kamailioScenario,
		"key-rotation":          keyRotationScenario,
		"orders":                ordersScenario,
		"faulty-software":       faultySoftwareScenario,
		"carried-along":         addressesFollowScenario,
		"ipv6":                  ipv6Scenario,
		"arbiter":               arbiterScenario,
		"arbiter-down":          arbiterDownScenario,
		"arbiter-preloaded":     arbiterPreloadedScenario,
		"arbiter-late":          arbiterLateScenario,
		"flapping":              flappingScenario,
		"upgrade":               upgradeScenario,
		"record":                recordScenario,
		"upgrade-orders":        upgradeOrdersScenario,
		"mixed-cluster":         mixedScenario,
	}
	maps.Copy(all, bootOrderScenarios())
	maps.Copy(all, benchScenarios())
	return all
}
