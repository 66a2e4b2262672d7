package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/export"
	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
	"mxcluster/internal/settings"
)

type importOptions struct {
	passphraseFile string
	server         string
	dryRun         bool
}

// newConfigImportCommand returns `config import`.
func newConfigImportCommand(a *app) *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Set this machine up by a file of 'config export'",
		Long: `Config import makes this machine the server that FILE was exported of. Its agent must not
run, it must have one of that server's addresses, and nobody else may answer for its
base. With --server it becomes another server of the same system: the document and
gossip.key are taken, the settings, passwords and the sync key are not.

A newer document or newer gossip keys of the same system that are here stay; what is of
another system is refused. The document may be old: when the agent runs, it gets the
newest from the others. If the gossip key was exchanged since the export, they do not
let it in; take gossip.key from one of them then.`,
		Example: `  mxcluster config import /root/srv1.age --passphrase-file /root/passphrase --dry-run
  mxcluster config import /root/srv1.age --passphrase-file /root/passphrase`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid),
		Args:        arguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := runConfigImport(c.Context(), a, args[0], o); err != nil {
				return doing(err, "importing %s", args[0])
			}
			return nil
		},
	}
	c.ValidArgsFunction = offerFiles
	addPassphrase(c, &o.passphraseFile)
	c.Flags().StringVar(&o.server, "server", "", "`name` of the server that this machine becomes (default: the exported one)")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "check everything and say what would be done, write nothing")
	a.addReason(c.Flags())
	return c
}

// runConfigImport checks everything before it writes anything. The settings here may be broken, or
// those of a new installation: they are not read.
func runConfigImport(ctx context.Context, a *app, file string, o importOptions) error {
	phrase, err := passphrase(o.passphraseFile)
	if err != nil {
		return err
	}
	archive, err := a.readExport(file, phrase)
	if err != nil {
		return err
	}
	i, err := planImport(a, archive, o.server)
	if err != nil {
		return err
	}
	agent, err := a.agent()
	if err != nil {
		return err
	}
	if agent.Running(ctx) {
		return fault.New(fault.Refused, "mxcluster agent stop", "an agent runs here")
	}
	if err := mayJoin(i.store, i.doc, i.server); err != nil {
		return err
	}
	if err := a.checkIdentity(ctx, i.doc, i.doc.Server(i.server)); err != nil {
		return err
	}
	made := archive.About.MadeAt.Format(time.RFC3339)
	r := result{Changed: true, DryRun: o.dryRun, Revision: i.doc.Revision, Changes: i.names()}
	if o.dryRun {
		r.Text = fmt.Sprintf("this machine would become %s by the export of %s of %s, with revision %d of the cluster document", i.server, archive.About.Server, made, i.doc.Revision)
		return a.done(r)
	}
	if len(i.replaced) > 0 {
		if err := a.mayReplace(i.replaced[0]); err != nil {
			return err
		}
	}
	kept, err := i.write(ctx)
	if err != nil {
		return err
	}
	r.Text = fmt.Sprintf("this machine is %s by the export of %s of %s, with revision %d of the cluster document", i.server, archive.About.Server, made, i.doc.Revision)
	if kept {
		r.Text += "; the newer one that is here stays"
	}
	r.Left = i.left()
	return a.done(r)
}

// readExport reads and decrypts an export, - from standard input.
func (a *app) readExport(file, phrase string) (*export.Archive, error) {
	if file == "-" {
		return export.Read(a.env.Stdin, phrase)
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.NotFound, "give the name of a file that 'mxcluster config export' wrote, or - for standard input", "reading the export")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the export: %w", err)
	}
	defer f.Close()
	return export.Read(io.Reader(f), phrase)
}

// importing is an import that was found to be possible.
type importing struct {
	dirs     settings.Dirs
	store    *clusterconf.Store
	server   string // that this machine becomes
	doc      *clusterconf.Document
	keys     settings.Keys
	files    []export.File // the others, in this order
	replaced []string      // paths of files with other content that are there
	start    string        // what to type to have the agent run
	ssh      bool          // the exported key of syncs is taken
}

// planImport reads what is in an archive.
func planImport(a *app, archive *export.Archive, server string) (*importing, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	i := &importing{dirs: dirs, store: a.store(dirs), server: server, start: a.startCommand(dirs)}
	same := server == "" || server == archive.About.Server
	if same {
		i.server = archive.About.Server
	}
	if i.doc, err = clusterconf.Parse("the exported document", archive.File(exportedDocument)); err != nil {
		return nil, err
	}
	if i.keys, err = settings.ParseKeys(archive.File(exportedKeys)); err != nil {
		return nil, fault.Wrap(err, fault.CodeOf(err), "", "the exported keys")
	}
	if err := i.keepNewerKeys(); err != nil {
		return nil, err
	}
	if !same {
		return i, nil
	}
	for _, f := range archive.Files {
		switch {
		case f.Name == exportedDocument || f.Name == exportedKeys:
			continue
		case isSSH(f) && archive.About.Folder != dirs.Config: // its paths are in there
			continue
		}
		i.ssh = i.ssh || isSSH(f)
		i.files = append(i.files, f)
		path := i.path(f)
		there, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("reading %s: %w", path, err)
		case !bytes.Equal(there, f.Data):
			i.replaced = append(i.replaced, path)
		}
	}
	return i, nil
}

// keepNewerKeys has keys that are here stay where a rotation since the export made one of them.
func (i *importing) keepNewerKeys() error {
	path := i.dirs.GossipKey()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	here, err := settings.LoadKeys(path)
	switch {
	case err != nil:
		return err
	case !slices.ContainsFunc(here, i.keys.Has):
		return fault.New(fault.Refused, "remove the file if this machine shall leave that system", "%s is of another system", path)
	case lastMade(here).After(lastMade(i.keys)):
		i.keys = here
	}
	return nil
}

// lastMade returns when the last one of keys was made; zero for the first key of a system alone.
func lastMade(keys settings.Keys) time.Time {
	return slices.MaxFunc(keys, func(a, b settings.Key) int { return a.Made.Compare(b.Made) }).Made
}

func (i *importing) path(f export.File) string {
	return filepath.Join(i.dirs.Config, filepath.FromSlash(f.Name))
}

func (i *importing) names() []string {
	names := []string{exportedDocument, exportedKeys}
	for _, f := range i.files {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// write stores the document last: one without the rest would look whole. kept: a newer document was
// there and stays.
func (i *importing) write(ctx context.Context) (kept bool, err error) {
	for _, dir := range []string{i.dirs.Config, i.dirs.State} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, fault.Wrap(err, fault.CodeOf(err), "run the command as root", "making folder %s", dir)
		}
	}
	if err := settings.WriteKeys(i.dirs.GossipKey(), i.keys); err != nil {
		return false, err
	}
	for _, f := range i.files {
		if err := os.MkdirAll(filepath.Dir(i.path(f)), 0o700); err != nil {
			return false, fmt.Errorf("making a folder for %s: %w", f.Name, err)
		}
		if err := safepath.ReplaceDurably(i.path(f), f.Data, fs.FileMode(f.Mode)); err != nil {
			return false, fmt.Errorf("writing %s: %w", i.path(f), err)
		}
	}
	if err := settings.WriteServer(i.dirs.Config, i.server); err != nil {
		return false, err
	}
	d := clusterconf.Freeze(i.doc)
	if _, err := i.store.Adopt(ctx, d); err != nil {
		return false, err
	}
	now, err := i.store.Read()
	return err == nil && clusterconf.Freeze(now).Hash() != d.Hash(), err
}

// left is what an import does not do.
func (i *importing) left() []string {
	left := []string{i.start}
	if i.ssh {
		return left
	}
	if c := i.doc.ClusterOfLIM(i.doc.Server(i.server).LIM); c != nil {
		left = append(left, "mxcluster sync setup-ssh "+c.Standby)
	}
	return left
}
