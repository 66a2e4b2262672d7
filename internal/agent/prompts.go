package agent

import (
	"errors"
	"fmt"
	"io"
	"os"

	"mxcluster/clusterconf"
)

// lookForPrompts returns why announcement prompts cannot be read from a folder; nil: there are
// some.
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

// lacksPrompts returns why a LIM's prompts are missing here; "": they are present, or not needed.
func (p *preconditions) lacksPrompts(entry *clusterconf.LIM) string {
	if p.deps.Prompts == nil || entry == nil || entry.Prompts == "" {
		return ""
	}
	if err := p.deps.Prompts(entry.Prompts); err != nil {
		return err.Error()
	}
	return ""
}
