package commands

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// guide asks for the words of a command line. After the first error it asks
// nothing more, so that a sequence of questions is checked once, at its end.
type guide struct {
	ask   *ui.Prompter
	store *clusterconf.Store
	doc   *clusterconf.Document // what answers are tried on; nil: there is none
	now   time.Time
	err   error

	loses bool // what was chosen loses something

	unread   error                 // why there is no document
	status   *status.ClusterStatus // by the agent here
	agentErr error                 // why there is none

	help   string   // what ? says
	links  []string // this server's interfaces
	given  []string // the answers until now
	replay []string // answers that were given before, and are not asked for again
}

// errBack says that the question before is to be asked again.
var errBack = errors.New("back to the question before")

// text asks until check takes the answer.
func (g *guide) text(question, def string, check func(string) error) string {
	for g.err == nil {
		var answer string
		if len(g.replay) > 0 {
			answer, g.replay = g.replay[0], g.replay[1:]
			g.err = check(answer)
		} else {
			answer, g.err = g.ask.AskUntil(question, def, func(answer string) error {
				if answer == "?" || answer == "<" {
					return nil
				}
				return check(answer)
			})
		}
		switch {
		case g.err != nil:
		case answer == "<":
			g.err = errBack
		case answer == "?":
			_, g.err = fmt.Fprintf(g.ask.Out, "\n%s\n\n< goes back to the question before.\n\n", g.help)
		default:
			g.given = append(g.given, answer)
			return answer
		}
	}
	return ""
}

// yes asks a question that is answered with yes or no.
func (g *guide) yes(question string, def bool) bool {
	yes := false
	g.text(question+", yes or no", yesNo(def), func(answer string) error {
		switch strings.ToLower(answer) {
		case "y", "yes":
			yes = true
		case "n", "no":
			yes = false
		default:
			return fault.New(fault.Usage, "", "answer yes or no")
		}
		return nil
	})
	return yes
}

// pick has one of the words offered chosen, by its name or by its number in the
// list. Where the names may be numbers themselves these are shown alone. With
// otherwise, such as "all", nothing need be chosen: the answer is "" then.
func (g *guide) pick(question, otherwise string, o offer, args ...string) string {
	if g.err != nil {
		return ""
	}
	list := o(g.store, args)
	if len(list) == 0 && otherwise == "" {
		g.err = fault.New(fault.Refused, "", "%s: there is none", question)
		return ""
	}
	names := g.show(list)
	def := otherwise
	if otherwise == "" && len(names) == 1 {
		def = names[0]
	}
	chosen := ""
	g.text(question, def, func(answer string) error {
		if answer == otherwise && otherwise != "" {
			chosen = ""
			return nil
		}
		chosen = answer
		if slices.Contains(names, answer) {
			return nil
		}
		if n, err := strconv.Atoi(answer); err == nil && !anyNumber(names) && n >= 1 && n <= len(names) {
			chosen = names[n-1]
			return nil
		}
		return fault.New(fault.Usage, didYouMean(answer, names, "choose from the list"), "%q is not there to choose", answer)
	})
	return chosen
}

// show lists what can be chosen and returns the names.
func (g *guide) show(list []cobra.Completion) []string {
	var names, abouts []string
	width := 0
	for _, c := range list {
		name, about, _ := strings.Cut(c, "\t")
		names, abouts, width = append(names, name), append(abouts, about), max(width, len(name))
	}
	var b strings.Builder
	for i, name := range names {
		number := strconv.Itoa(i+1) + "  "
		if anyNumber(names) {
			number = ""
		}
		fmt.Fprintf(&b, "  %s%-*s  %s\n", number, width, ui.Plain(name), ui.Plain(abouts[i]))
	}
	if len(g.replay) == 0 {
		_, g.err = io.WriteString(g.ask.Out, b.String())
	}
	return names
}

// anyNumber tells whether a name could be taken for a place in a list.
func anyNumber(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, err := strconv.Atoi(name)
		return err == nil
	})
}

// duration asks for a time; the one that counts now is offered.
func (g *guide) duration(question, def string, check func(time.Duration) error) string {
	return g.text(question, def, func(answer string) error {
		if answer == def {
			return nil
		}
		d, err := time.ParseDuration(answer)
		if err != nil {
			return fault.New(fault.Usage, "give a duration such as 300ms, 10s or 5m", "%q is not a time", answer)
		}
		return check(d)
	})
}

// oneOf asks for one of a few words.
func (g *guide) oneOf(question, def string, words ...string) string {
	return g.text(fmt.Sprintf("%s, %s", question, strings.Join(words, " or ")), def, func(answer string) error {
		if slices.Contains(words, answer) {
			return nil
		}
		return fault.New(fault.Usage, "answer "+strings.Join(words, " or "), "%q is not one of them", answer)
	})
}

// try says what the document has against an edit; it stays as it is.
func (g *guide) try(edit func(*clusterconf.Document) error) error {
	return edit(g.doc.Clone())
}

// flagIf returns a flag where its value differs from what counts without it.
func flagIf(name, value, without string) []string {
	if value == without {
		return nil
	}
	return []string{name, value}
}
