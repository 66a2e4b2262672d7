package main

import (
	"runtime"
	"runtime/debug"

	"mxcluster/commands"
)

// version is read from what the Go toolchain writes into every binary.
func version() commands.Version {
	v := commands.Version{Version: "devel", Commit: "unknown", Go: runtime.Version(), Arch: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Version += "+modified"
		}
	}
	return v
}
