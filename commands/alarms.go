package commands

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	alarmpages "mxcluster/docs/reference/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// newAlarmsCommand groups what concerns alarms (spec ch. 11).
func newAlarmsCommand(a *app) *cobra.Command {
	return newGroup("alarms", "List, explain, notice, clear and test alarms", `
An alarm is raised when something is not as it should be, and ends by itself when
that is over. Each has a handle, the same on every server. A noticed alarm stays in
the list and counts no more in 'mxcluster status'; only not-redundant goes on to count.`, `
  mxcluster alarms list
  mxcluster alarms explain lim-on-standby`,
		newAlarmsListCommand(a), newAlarmsExplainCommand(a), newAlarmsNoticeCommand(a), newAlarmsClearCommand(a), newAlarmsTestCommand(a))
}

// newAlarmsListCommand returns `alarms list`.
func newAlarmsListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the alarms that are raised in the system, the gravest first",
		Long: `Alarms list shows what the servers of the whole system have raised, the gravest
first: those that count, then those that somebody noticed or that are as expected.
Servers whose alarms cannot be seen from here are named.`,
		Example:     "  mxcluster alarms list\n  mxcluster alarms list -o wide",
		Annotations: exits(fault.Unreachable, fault.NotPermitted),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runAlarmsList(c.Context(), a); err != nil {
				return fmt.Errorf("listing alarms: %w", err)
			}
			return nil
		},
	}
}

func runAlarmsList(ctx context.Context, a *app) error {
	agent, err := a.agent()
	if err != nil {
		return err
	}
	list, err := agent.Alarms(ctx)
	if err != nil {
		return err
	}
	if len(list.Unseen) > 0 {
		a.out.Note("the alarms of %s cannot be seen from %s", strings.Join(list.Unseen, ", "), list.Observer)
	}
	slices.SortStableFunc(list.Alarms, func(x, y status.Alarm) int {
		return cmp.Or(-compareBool(x.Counts(), y.Counts()), strings.Compare(x.Severity, y.Severity), x.RaisedAt.Compare(y.RaisedAt))
	})
	return a.out.Show(alarmsView(list, a.env.Now()))
}

// compareBool puts false before true.
func compareBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

// alarmsView has a row for each alarm.
func alarmsView(list *status.AlarmList, now time.Time) ui.View {
	v := ui.View{
		Object: list,
		Columns: []ui.Column{{Head: "ALARM", Right: true}, {Head: "SEVERITY"}, {Head: "AGE", Right: true}, {Head: "RAISED", Wide: true}, {Head: "NAME"},
			{Head: "LIM", Right: true, Wide: true}, {Head: "SERVER", Wide: true}, {Head: "COUNTS", Wide: true}, {Head: "TEXT"}},
		Empty: "no alarm is raised",
	}
	for _, x := range list.Alarms {
		lim := "-"
		if x.LIM != 0 {
			lim = strconv.Itoa(x.LIM)
		}
		counts, text := "yes", x.Text
		switch {
		case x.Notice != nil:
			counts = "noticed"
			text += " [noticed by " + x.Notice.By
			if x.Notice.Comment != "" {
				text += ": " + x.Notice.Comment
			}
			text += "]"
		case x.Expected:
			counts = "expected"
			text += " [as expected]"
		}
		v.Rows = append(v.Rows, []string{strconv.Itoa(x.Handle), x.Severity, ui.Age(now.Sub(x.RaisedAt)), x.RaisedAt.UTC().Format(time.RFC3339), x.Name,
			lim, cmp.Or(x.Server, "-"), counts, text})
		v.Names = append(v.Names, strconv.Itoa(x.Handle))
	}
	return v
}

// newAlarmsExplainCommand returns `alarms explain`.
func newAlarmsExplainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "explain NAME",
		Short:       "Say what an alarm means, how to look, and what to type",
		Long:        `Alarms explain prints the page of an alarm. It needs no agent.`,
		Example:     "  mxcluster alarms explain lim-on-standby",
		Annotations: exits(fault.NotFound),
		Args:        arguments("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			page := alarmpages.Page(args[0])
			if page == "" {
				return fault.New(fault.NotFound, didYouMean(args[0], alarmpages.Names(), "the alarms are "+strings.Join(alarmpages.Names(), ", ")),
					"explaining an alarm: there is no alarm %q", args[0])
			}
			return a.out.Lines(strings.Split(strings.TrimSuffix(page, "\n"), "\n")...)
		},
	}
}

// noticeOptions are the flags of `alarms notice` and `alarms clear`.
type noticeOptions struct {
	comment string
	dryRun  bool
	clear   bool
}

// newAlarmsNoticeCommand returns `alarms notice`.
func newAlarmsNoticeCommand(a *app) *cobra.Command {
	var o noticeOptions
	c := &cobra.Command{
		Use:   "notice H",
		Short: "Say that an alarm is known, so that it counts no more",
		Long: `Alarms notice tells all servers that the alarm with handle H is known. It stays in
the list with who noticed it, and counts no more in 'mxcluster status --check'. It
counts again when it becomes graver, and when it is raised anew. That something is
not redundant goes on to count.`,
		Example:     "  mxcluster alarms notice 12 --comment 'a new disk comes on Monday'",
		Annotations: exits(fault.NotFound, fault.Unreachable, fault.NotPermitted),
		Args:        arguments("H"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := runAlarmsNotice(c.Context(), a, args[0], o); err != nil {
				return fmt.Errorf("noticing alarm %s: %w", args[0], err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.comment, "comment", "", "`text` that is shown with it")
	o.addFlags(c)
	return c
}

// newAlarmsClearCommand returns `alarms clear`.
func newAlarmsClearCommand(a *app) *cobra.Command {
	o := noticeOptions{clear: true}
	c := &cobra.Command{
		Use:   "clear H",
		Short: "End an alarm that tells of something past",
		Long: `Alarms clear ends the alarm with handle H on all servers, if it tells of something
that happened and is over, such as state-lost. Every other alarm ends by itself when
what it tells of does, and clearing it is refused: 'mxcluster alarms notice' has it
count no more.`,
		Example:     "  mxcluster alarms clear 12",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.NotPermitted),
		Args:        arguments("H"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := runAlarmsNotice(c.Context(), a, args[0], o); err != nil {
				return fmt.Errorf("clearing alarm %s: %w", args[0], err)
			}
			return nil
		},
	}
	o.addFlags(c)
	return c
}

func (o *noticeOptions) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.comment, "reason", "", "`text` that says why, as --comment")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would change, change nothing")
}

func runAlarmsNotice(ctx context.Context, a *app, arg string, o noticeOptions) error {
	handle, err := strconv.Atoi(arg)
	if err != nil || handle < 1 {
		return fault.New(fault.Usage, "give its handle: mxcluster alarms list", "%q is no handle of an alarm", arg)
	}
	agent, err := a.agent()
	if err != nil {
		return err
	}
	got, err := agent.Notice(ctx, control.NoticeRequest{Handle: handle, By: a.env.User(), Comment: o.comment, Clear: o.clear, DryRun: o.dryRun})
	if err != nil {
		return err
	}
	verb := "is noticed"
	switch {
	case o.clear && o.dryRun:
		verb = "would be cleared"
	case o.clear:
		verb = "is cleared"
	case o.dryRun && !got.Already:
		verb = "would be noticed"
	case got.Already:
		verb = "is noticed already"
	}
	return a.done(result{Changed: !got.Already, DryRun: o.dryRun, Text: fmt.Sprintf("alarm %d, %s, %s: %s", handle, got.Alarm.Name, verb, got.Alarm.Text)})
}
