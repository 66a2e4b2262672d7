package commands

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/export"
	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
	"mxcluster/internal/settings"
)

// Names of files in an export.
const (
	exportedDocument = "cluster.yaml"
	exportedSettings = "mxcluster.yaml"
	exportedKeys     = "gossip.key"
	exportedSSH      = "ssh/"
)

type exportOptions struct {
	passphraseFile string
	dryRun         bool
}

// newConfigExportCommand returns `config export`.
func newConfigExportCommand(a *app) *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write document, settings and keys of this server to an encrypted file",
		Long: `Config export writes what makes this server one of the system to FILE: the cluster
document, mxcluster.yaml, gossip.key, the key and the known hosts of syncs, and the
password files that the settings name, if they are in the configuration folder. FILE is
encrypted to a passphrase of at least 12 characters, which is read from a file. FILE -
is standard output. 'mxcluster config import' sets a machine up by it. Data versions are
not in it: they are on the other side.

FILE is a tar archive in the format of age: 'age --decrypt FILE | tar t' lists it.`,
		Example: `  mxcluster config export /root/srv1.age --passphrase-file /root/passphrase
  mxcluster config export - --passphrase-file /root/passphrase | ssh vault 'cat > srv1.age'`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := runConfigExport(a, args[0], o); err != nil {
				return doing(err, "exporting the configuration")
			}
			return nil
		},
	}
	c.ValidArgsFunction = offerFiles
	addPassphrase(c, &o.passphraseFile)
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be exported, write nothing")
	a.addReason(c.Flags())
	return c
}

// offerFiles leaves the one argument to the shell.
func offerFiles(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

func addPassphrase(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "passphrase-file", "", "`file` that holds the passphrase alone, in one line, and that nobody else may read")
}

// passphrase reads the file that a flag names.
func passphrase(file string) (string, error) {
	if file == "" {
		return "", fault.New(fault.Usage, "give --passphrase-file FILE", "--passphrase-file is missing")
	}
	text, err := settings.LoadPassword(file)
	return text, fault.Wrap(err, fault.CodeOf(err), "", "the passphrase")
}

func runConfigExport(a *app, file string, o exportOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	archive, outside, err := s.exported()
	if err != nil {
		return err
	}
	phrase, err := passphrase(o.passphraseFile)
	if err != nil {
		return err
	}
	for _, name := range outside {
		a.out.Warn("%s, which the settings name, is not exported: it is outside %s", name, s.dirs.Config)
	}
	r := result{Changed: true, DryRun: o.dryRun, Revision: archive.About.Revision, Changes: fileNames(archive),
		Text: fmt.Sprintf("%s of %s exported to %s, with revision %d of the cluster document", count(len(archive.Files), "file"), archive.About.Server, file, archive.About.Revision)}
	if o.dryRun {
		r.Text = fmt.Sprintf("%s of %s would be exported to %s", count(len(archive.Files), "file"), archive.About.Server, file)
		return a.done(r)
	}
	if file == "-" {
		return export.Write(a.out.Data, archive, phrase, a.env.ExportWork)
	}
	if err := a.mayReplace(file); err != nil {
		return err
	}
	var sealed bytes.Buffer
	if err := export.Write(&sealed, archive, phrase, a.env.ExportWork); err != nil {
		return err
	}
	if err := safepath.ReplaceDurably(file, sealed.Bytes(), 0o600); err != nil {
		return fault.Wrap(err, fault.CodeOf(err), "", "writing %s", file)
	}
	return a.done(r)
}

// mayReplace asks before a file that is there is replaced.
func (a *app) mayReplace(file string) error {
	if _, err := os.Lstat(file); a.globals.yes || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ok, err := a.yes("Replace " + file + ", yes or no")
	if err == nil && !ok {
		err = fault.New(fault.Refused, "", "not confirmed, nothing was changed")
	}
	return err
}

// exported collects what makes this server one of the system. outside are the secret files of the
// settings that it leaves out.
func (s *server) exported() (a *export.Archive, outside []string, err error) {
	doc, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	if doc.Server(s.settings.Server) == nil {
		return nil, nil, fault.New(fault.NotFound, "mxcluster server list", "the system has no server %q", s.settings.Server)
	}
	if _, err := settings.LoadKeys(s.dirs.GossipKey()); err != nil {
		return nil, nil, err
	}
	a = &export.Archive{About: export.About{APIVersion: clusterconf.APIVersion, Version: s.env.Version.Version, MadeAt: s.env.Now().UTC(),
		Folder: s.dirs.Config, Server: s.settings.Server, System: doc.System, Revision: doc.Revision}}
	names := []string{exportedDocument, exportedSettings, exportedKeys}
	ssh, err := os.ReadDir(s.dirs.SSH())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("looking for the key of syncs: %w", err)
	}
	for _, e := range ssh {
		if e.Type().IsRegular() {
			names = append(names, exportedSSH+e.Name())
		}
	}
	for _, path := range s.settings.SecretFiles() {
		if rel, err := filepath.Rel(s.dirs.Config, path); err == nil && filepath.IsLocal(rel) {
			names = append(names, filepath.ToSlash(rel))
		} else {
			outside = append(outside, path)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		f, err := readExported(s.dirs.Config, name)
		if errors.Is(err, fs.ErrNotExist) && name == exportedSettings {
			continue // all that is in it has a default
		}
		if err != nil {
			return nil, nil, err
		}
		a.Files = append(a.Files, f)
	}
	return a, outside, nil
}

func readExported(folder, name string) (export.File, error) {
	path := filepath.Join(folder, filepath.FromSlash(name))
	info, err := os.Stat(path)
	if err != nil {
		return export.File{}, fmt.Errorf("reading %s: %w", path, err)
	}
	data, err := safepath.ReadFile(path)
	if err != nil {
		return export.File{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return export.File{Name: name, Mode: uint32(info.Mode().Perm()), Data: data}, nil
}

func fileNames(a *export.Archive) []string {
	var names []string
	for _, f := range a.Files {
		names = append(names, f.Name)
	}
	return names
}

// isSSH reports whether a file is of the login of syncs.
func isSSH(f export.File) bool { return strings.HasPrefix(f.Name, exportedSSH) }
