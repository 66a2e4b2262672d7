package agent

import (
	"errors"
	"fmt"
	"io"
	"os"

	"mxcluster/clusterconf"
)

// lookForPrompts says why announcement prompts cannot be had from a folder; nil: there
// are some.
func lookForPrompts(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); errors.Is(err, io.EOF) {
		return fmt.Errorf("folder %s is empty", dir)
	} else if err != nil {
		return err
	}
	return nil
}

// lacksPrompts says why a LIM's prompts are not here; "" where they are, or none are
// used.
func (p *preconditions) lacksPrompts(entry *clusterconf.LIM) string {
	if p.deps.Prompts == nil || entry == nil || entry.Prompts == "" {
		return ""
	}
	if err := p.deps.Prompts(entry.Prompts); err != nil {
		return err.Error()
	}
	return ""
}
