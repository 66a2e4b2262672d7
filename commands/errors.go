package commands

import (
	"fmt"
	"slices"
	"strings"

	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// bySeverity lists the codes of failures, the one to act on first in front.
func bySeverity() []fault.Code {
	return []fault.Code{fault.Interrupted, fault.Conflict, fault.Invalid, fault.NotPermitted, fault.Failed, fault.Unknown,
		fault.Unreachable, fault.Refused, fault.NotFound, fault.Busy, fault.Usage}
}

// joinErrors makes one error of those that were joined: all their messages, the code
// and the remedy of the gravest. what, if any, comes in front.
func joinErrors(err error, what string) error {
	joined, ok := err.(interface{ Unwrap() []error }) // errors.Join's own, not one below it
	if !ok {
		return err
	}
	errs := joined.Unwrap()
	if len(errs) == 1 {
		return errs[0]
	}
	order := bySeverity()
	top := slices.MinFunc(errs, func(x, y error) int {
		return slices.Index(order, fault.CodeOf(x)) - slices.Index(order, fault.CodeOf(y))
	})
	var words []string
	for _, e := range errs {
		words = append(words, e.Error())
	}
	text := strings.Join(words, "; ")
	if what != "" {
		text = fmt.Sprintf("%s: %s", what, text)
	}
	return fault.New(fault.CodeOf(top), fault.HintOf(top), "%s", text)
}

// withoutHint leaves the remedy out where --quiet is given: one line is all then.
func (a *app) withoutHint(err error) error {
	if err == nil || !a.out.Quiet {
		return err
	}
	return fault.New(fault.CodeOf(err), "", "%s", err.Error())
}

// showUnlessQuiet shows a report. For people and with --quiet there is none:
// silence says that all is well, and an error what is not.
func (a *app) showUnlessQuiet(v ui.View) error {
	if a.out.Quiet && (a.out.Format == ui.Table || a.out.Format == ui.Wide) {
		return nil
	}
	return a.out.Show(v)
}
