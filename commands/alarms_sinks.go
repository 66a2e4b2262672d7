package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// newAlarmsTestCommand returns `alarms test`.
func newAlarmsTestCommand(a *app) *cobra.Command {
	severity := "warning"
	c := &cobra.Command{
		Use:   "test",
		Short: "Send a test alarm through every sink of this server",
		Long: `Alarms test has the agent of this server send a test alarm through every sink that
is set: the journal, the program of alarms.exec, the managers of alarms.snmp. It says
of each whether it took it, and fails if one did not. Nothing is raised.`,
		Example:     "  mxcluster alarms test\n  mxcluster alarms test --severity critical",
		Annotations: exits(fault.Failed, fault.Refused, fault.Unreachable, fault.NotPermitted),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if severity != "warning" && severity != "critical" {
				return fault.New(fault.Usage, "give warning or critical", "there is no severity %q", severity)
			}
			if err := runAlarmsTest(c.Context(), a, severity); err != nil {
				return fmt.Errorf("testing the sinks of alarms: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&severity, "severity", severity, "`severity` of the test alarm: warning or critical")
	return c
}

// sinkTest is the answer of `alarms test -o json`.
type sinkTest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // SinkTest
	*control.TestResult
}

func runAlarmsTest(ctx context.Context, a *app, severity string) error {
	agent, err := a.agent()
	if err != nil {
		return err
	}
	got, err := agent.TestSinks(ctx, control.TestRequest{Severity: severity, By: a.env.User()})
	if err != nil {
		return err
	}
	if len(got.Sinks) == 0 {
		return fault.New(fault.Refused, "set alarms.exec or alarms.snmp.targets in mxcluster.yaml and restart the agent", "no sink is set on this server")
	}
	v := ui.View{Object: sinkTest{APIVersion: clusterconf.APIVersion, Kind: "SinkTest", TestResult: got}, Columns: []ui.Column{{Head: "SINK"}, {Head: "RESULT"}}}
	failed := 0
	for _, s := range got.Sinks {
		result := "took it"
		if s.Error != "" {
			result = "failed: " + s.Error
			failed++
		}
		v.Rows, v.Names = append(v.Rows, []string{s.Name, result}), append(v.Names, s.Name)
	}
	if err := a.out.Show(v); err != nil {
		return err
	}
	if failed > 0 {
		return fault.New(fault.Failed, "the agent's log says more", "%d of %d sinks did not take it", failed, len(got.Sinks))
	}
	return nil
}
