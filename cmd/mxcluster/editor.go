package main

import (
	"context"
	"os"
	"os/exec"
)

// edit runs an editor on a file. It gets the terminal as it is; an interrupt from
// the keyboard is the editor's own affair, so that only the end of its work ends it.
func edit(ctx context.Context, editor []string, file string) error {
	c := exec.CommandContext(context.WithoutCancel(ctx), editor[0], append(editor[1:], file)...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stderr, os.Stderr
	return c.Run()
}
