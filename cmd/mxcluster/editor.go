package main

import (
	"context"
	"os"
	"os/exec"

	"mxcluster/internal/services"
)

// edit runs an editor on a file and waits for its end. It gets the terminal as it is;
// an interrupt from the keyboard is the editor's own affair. When this process is
// told to end otherwise, so is the editor, which has its own ways to keep a text.
func edit(ctx context.Context, editor []string, file string) error {
	c := exec.Command(editor[0], append(editor[1:], file)...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stderr, os.Stderr
	if err := services.StartPlain(c); err != nil {
		return err
	}
	defer passOn(ctx, c.Process)()
	return c.Wait()
}
