package settings

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
)

// The settings file of the packages has each setting with its default, behind a #, and
// changes nothing: neither as it is nor with every default taken in.
func TestPackagedSettings(t *testing.T) {
	packaged, err := os.ReadFile(filepath.Join("..", "..", "packaging", "mxcluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^#([a-z_.]+):(?: (.*))?$`)
	found := map[string]string{}
	for _, m := range lines.FindAllSubmatch(packaged, -1) {
		found[string(m[1])] = string(m[2])
	}
	dirs := Dirs{Config: t.TempDir(), State: "/var/lib/mxcluster", Run: "/run/mxcluster"}
	for _, k := range table() {
		want := k.byDefault
		if k.name == "xdata_dir" {
			want = dirs.xdata()
		}
		if value, there := found[k.name]; !there || value != want {
			t.Errorf("packaging/mxcluster.yaml has %s as %q (%v), its default is %q", k.name, value, there, want)
		}
		delete(found, k.name)
	}
	for name := range found {
		t.Errorf("packaging/mxcluster.yaml has %s, which is no setting", name)
	}
	defaults, err := Load(dirs, nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"as it is":              packaged,
		"with all its defaults": regexp.MustCompile(`(?m)^#([a-z_.]+: .*)$`).ReplaceAll(packaged, []byte("$1")),
	} {
		if err := os.WriteFile(dirs.Settings(), text, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Load(dirs, nil); err != nil || !reflect.DeepEqual(got, defaults) {
			t.Errorf("%s: %+v, %v, want %+v", what, got, err, defaults)
		}
	}
}
