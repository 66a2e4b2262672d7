package commands

import (
	"fmt"
	"slices"
	"strings"

	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// bySeverity lists the codes of failures, the most severe first.
func bySeverity() []fault.Code {
	return []fault.Code{fault.Interrupted, fault.Conflict, fault.Invalid, fault.NotPermitted, fault.Failed, fault.Unknown,
		fault.Unreachable, fault.Refused, fault.NotFound, fault.Busy, fault.Usage}
}

// joinErrors returns one error for joined ones: all messages, with the code and remedy of the most
// severe. what is a prefix; "": none.
func joinErrors(err error, what string) error {
	joined, ok := err.(interface{ Unwrap() []error }) // that of errors.Join itself, not a wrapped one
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

// withoutHint removes the remedy if --quiet is given, so that one line remains.
func (a *app) withoutHint(err error) error {
	if err == nil || !a.out.Quiet {
		return err
	}
	return fault.New(fault.CodeOf(err), "", "%s", err.Error())
}

// showUnlessQuiet shows a report. With --quiet, people see nothing but errors.
func (a *app) showUnlessQuiet(v ui.View) error {
	if a.out.Quiet && (a.out.Format == ui.Table || a.out.Format == ui.Wide) {
		return nil
	}
	return a.out.Show(v)
}
