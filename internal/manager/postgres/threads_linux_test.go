package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// threads returns the lines of the kernel that say as whom the threads of this process act.
func threads(t *testing.T) (lines []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "Uid:") || strings.HasPrefix(line, "Gid:") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines
}
