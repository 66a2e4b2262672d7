package settings

import "io/fs"

// StartCommand is what a person types on a machine with these files, seen from its root, to have the
// agent with these folders run, after each boot, too, where something there sees to that.
func (d Dirs) StartCommand(files fs.FS) string {
	there := func(path string) bool {
		_, err := fs.Stat(files, path)
		return err == nil
	}
	const byHand = "mxcluster agent run"
	if d != (Dirs{Config: defaultConfig, State: defaultState, Run: defaultRun}) {
		return byHand // the units are for the other folders
	}
	if there("run/systemd/system") { // systemd is process 1
		for _, dir := range []string{"etc/systemd/system/", "usr/lib/systemd/system/", "lib/systemd/system/"} {
			if there(dir + "mxcluster-agent.service") {
				return "systemctl enable --now mxcluster-deny mxcluster-agent"
			}
		}
	}
	if there("run/openrc") && there("etc/init.d/mxcluster-agent") {
		return "rc-update add mxcluster-deny boot && rc-update add mxcluster-agent && rc-service mxcluster-agent start"
	}
	return byHand
}
