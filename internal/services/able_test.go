package services

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A program that is missing, or may not be run, is seen without starting anything.
func TestAble(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"good-7": 0o755, "dull": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for spec, want := range map[string]string{"good-{lim}": "", "dull": "is not executable", "none": "does not exist"} {
		s, err := Parse("exec:"+filepath.Join(dir, spec), Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = Set{&stub{}, s}.Able(t.Context(), Env{LIM: 7})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "service "+s.String()+": ") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}
