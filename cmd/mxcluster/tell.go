package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"mxcluster/internal/bundle"
)

// tellLimit is how long a program may take that only looks.
const tellLimit = 20 * time.Second

// tell runs a program and returns the end of what it prints. The user's language does not count.
func tell(ctx context.Context, words []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	var out tail
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if text := strings.TrimSpace(said.String()); err != nil && text != "" && !errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("%w: %.200s", err, text)
	}
	return out.kept, err
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

// Write fulfils io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*bundle.MaxFile {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-bundle.MaxFile:]...)
	}
	return len(p), nil
}
