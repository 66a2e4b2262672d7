package commands

import (
	"io"
	"time"

	"github.com/spf13/pflag"

	"mxcluster/internal/ui"
)

// globals are the flags of every command (contract, section 1).
type globals struct {
	configDir, stateDir, runDir string
	output, color               string
	quiet, verbose, noHeaders   bool
	yes, noInput                bool
	timeout                     time.Duration
}

func (g *globals) addFlags(f *pflag.FlagSet) {
	f.StringVar(&g.configDir, "config-dir", "", "configuration `folder` (default /etc/mxcluster)")
	f.StringVar(&g.stateDir, "state-dir", "", "state `folder` (default /var/lib/mxcluster)")
	f.StringVar(&g.runDir, "run-dir", "", "runtime `folder` (default /run/mxcluster)")
	f.StringVarP(&g.output, "output", "o", "", "output `format`: table, wide, json, yaml, csv or name (default table)")
	f.StringVar(&g.color, "color", "auto", "`when` tables are coloured: auto, always or never")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "leave out notes")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "add details")
	f.BoolVar(&g.noHeaders, "no-headers", false, "leave out the heads of tables and CSV")
	f.BoolVarP(&g.yes, "yes", "y", false, "answer yes to every confirmation")
	f.BoolVar(&g.noInput, "no-input", false, "never ask")
	f.DurationVar(&g.timeout, "timeout", 0, "give up after this `time`, with exit code 8 (default: no limit)")
}

// wantsJSON reports whether errors are to be in JSON. As the command line itself may be invalid, it
// is parsed again leniently.
func wantsJSON(env Env, args []string) bool {
	var g globals
	loose := pflag.NewFlagSet("loose", pflag.ContinueOnError)
	loose.ParseErrorsAllowlist.UnknownFlags = true
	loose.SetOutput(io.Discard)
	g.addFlags(loose)
	loose.BoolP("help", "h", false, "")
	_ = loose.Parse(args) // as far as it can be parsed
	if g.output == "" {
		g.output = env.lookup(envOutput)
	}
	return ui.Format(g.output) == ui.JSON
}
