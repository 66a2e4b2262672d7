package settings

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"

	"mxcluster/internal/fault"
)

// WriteServer sets the name of this server in the settings of a configuration
// folder. Whatever else stands there stays, with its comments; a file with
// errors is left alone and reported. The change is atomic and durable.
func WriteServer(dir, name string) error {
	path := Dirs{Config: dir}.Settings()
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return readError(err, path)
	}
	if _, err := scan(path, old); err != nil {
		return err
	}
	data, err := withServer(path, old, name)
	if err != nil || bytes.Equal(data, old) {
		return err
	}
	if _, err := scan(path, data); err != nil { // no file that only looked empty is made worse
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return writeError(err, path)
	}
	return writeError(replace(path, data), path)
}

// withServer returns a settings file with the server's name in it. A file
// without any setting gets a line at its end: of its comments, which hang on
// no key, the parser keeps none.
func withServer(path string, old []byte, name string) ([]byte, error) {
	doc, err := parse(path, old)
	if err != nil {
		return nil, err
	}
	value := &yaml.Node{}
	value.SetString(name)
	if doc == nil {
		line, err := yaml.Marshal(map[string]*yaml.Node{"server": value})
		if len(old) > 0 && old[len(old)-1] != '\n' {
			old = append(old, '\n')
		}
		return append(old, line...), err
	}
	if !setServer(doc.Content[0], value) {
		return old, nil
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err = errors.Join(e.Encode(doc), e.Close())
	return out.Bytes(), err
}

// setServer tells whether there was something to change.
func setServer(root, value *yaml.Node) bool {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "server" {
			continue
		}
		was := root.Content[i+1]
		if was.Value == value.Value {
			return false
		}
		value.LineComment = was.LineComment
		root.Content[i+1] = value
		return true
	}
	at := &yaml.Node{Kind: yaml.ScalarNode, Value: "server"}
	root.Content = append(root.Content, at, value)
	return true
}

// replace puts data in the place of a file of which the folder, and so the
// rename, is on disk before it returns. renameio leaves that last step out.
func replace(path string, data []byte) error {
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithStaticPermissions(0o644), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer f.Cleanup() //nolint:errcheck // nothing is left to clean up after success, nothing to add to an error
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func writeError(err error, path string) error {
	code, hint := fault.Failed, ""
	if errors.Is(err, fs.ErrPermission) {
		code, hint = fault.NotPermitted, "run the command as root, or choose another folder with --config-dir"
	}
	return fault.Wrap(err, code, hint, "writing %s", path)
}
