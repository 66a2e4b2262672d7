package services

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// environOf returns the initial environment of a process; nil if it has ended or may not be read.
func environOf(dir string) []string {
	raw, err := os.ReadFile(dir + "/environ")
	if err != nil {
		return nil
	}
	return strings.Split(string(raw), "\x00")
}

// groupOf returns the control group of a process from which systemd derives its unit (cgroups(7));
// "": none.
func groupOf(dir string) string {
	raw, err := os.ReadFile(dir + "/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) == 3 && (parts[0] == "0" || parts[1] == "name=systemd") && parts[2] != "/" {
			return parts[2]
		}
	}
	return ""
}

// ended reports whether a process is gone or a zombie.
func ended(dir string) bool {
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

// parent returns the parent of a process; 0: none.
func parent(dir string) int {
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // state, parent
	if len(fields) < 2 {
		return 0
	}
	pid, _ := strconv.Atoi(fields[1])
	return pid
}
