package commands

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/internal/lab"
)

func newLabFailCommand(a *app) *cobra.Command {
	var o labOptions
	var how string
	c := &cobra.Command{
		Use:   "fail SRV --how WAY",
		Short: "Have a server of the lab fail",
		Long: `Lab fail does harm to server SRV of the lab that is up, in one of these ways:
  power    the power is cut: all of its processes end at once
  cable    its network cable is pulled
  agent    its agent is killed
  service  the LIM's software ends, and none starts any more
  freeze   all of its processes stand still; its kernel still answers
'mxcluster lab heal SRV' ends it.`,
		Example:     "  mxcluster lab fail srv1 --how power",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unknown, fault.Interrupted),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			way, err := parseFault(how)
			if err != nil {
				return err
			}
			return runLabFail(c.Context(), a, o.dir, args[0], way)
		},
	}
	f := c.Flags()
	o.addFlags(f)
	f.StringVar(&how, "how", "", "`way` in which it fails: "+faultNames(", "))
	return c
}

// faultNames lists the ways to fail.
func faultNames(between string) string {
	var names []string
	for _, f := range lab.Faults() {
		names = append(names, string(f))
	}
	return strings.Join(names, between)
}

// labFaultOffers are the ways to fail, each followed by what it is.
func labFaultOffers() []string {
	var pairs []string
	for _, f := range lab.Faults() {
		pairs = append(pairs, string(f), faultWords(f))
	}
	return pairs
}

func parseFault(how string) (lab.Fault, error) {
	way := lab.Fault(how)
	switch {
	case how == "":
		return "", fault.New(fault.Usage, "give one of "+faultNames(", "), "flag --how is missing")
	case !slices.Contains(lab.Faults(), way):
		hint := "give one of " + faultNames(", ")
		return "", fault.New(fault.Usage, didYouMean(how, strings.Fields(faultNames(" ")), hint), "--how: bad value %q", how)
	}
	return way, nil
}

func runLabFail(ctx context.Context, a *app, dir, server string, how lab.Fault) error {
	changed, err := lab.Fail(ctx, dir, server, how)
	if err != nil {
		return fmt.Errorf("having %s fail: %w", server, err)
	}
	text := fmt.Sprintf("%s: %s", server, faultWords(how))
	if !changed {
		text += " already"
	}
	return a.done(result{Changed: changed, Text: text})
}

// faultWords says what a fault is.
func faultWords(how lab.Fault) string {
	return map[lab.Fault]string{
		lab.FaultPower: "no power", lab.FaultCable: "cable pulled", lab.FaultAgent: "agent killed",
		lab.FaultService: "LIM software broken", lab.FaultFreeze: "frozen",
	}[how]
}

func newLabHealCommand(a *app) *cobra.Command {
	var o labOptions
	c := &cobra.Command{
		Use:   "heal SRV",
		Short: "End what was done to a server of the lab",
		Long: `Lab heal ends all faults of server SRV of the lab that is up: it boots where it had no
power, its cable is plugged in, its processes go on, its LIM software starts again, and
so does its agent. It returns when the agent answers.`,
		Example:     "  mxcluster lab heal srv1",
		Annotations: exits(fault.NotFound, fault.Unknown, fault.Interrupted),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runLabHeal(c.Context(), a, o.dir, args[0])
		},
	}
	o.addFlags(c.Flags())
	return c
}

func runLabHeal(ctx context.Context, a *app, dir, server string) error {
	healed, err := lab.Heal(ctx, dir, server)
	if err != nil {
		return fmt.Errorf("healing %s: %w", server, err)
	}
	text := server + " is well already"
	if len(healed) > 0 {
		var words []string
		for _, f := range healed {
			words = append(words, faultWords(f))
		}
		text = fmt.Sprintf("%s is well again: it was: %s", server, strings.Join(words, ", "))
	}
	return a.done(result{Changed: len(healed) > 0, Text: text})
}
