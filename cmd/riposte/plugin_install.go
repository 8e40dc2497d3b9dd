package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/host/trust"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/server"
)

func installCommand(c *client) *cobra.Command {
	var site site
	var downgrade bool
	cmd := &cobra.Command{Use: "install FILE|oci:REFERENCE", Short: "Verify a package, put it beside the content, and lock it",
		Long: "Verify a package against trust.yaml, copy it into the folder of plugins, and write its digest into riposte.lock.\n" +
			"The engine that a plugin of scripts runs in goes into the folder engines: from the registry, from beside the package, or from this machine.\n" +
			"An upgrade that asks for more than was granted is installed, but nothing of it runs before `riposte plugin grant`.",
		Args: exactly(1, "a package: a file, or oci:REGISTRY/REPOSITORY:TAG"), RunE: func(cmd *cobra.Command, args []string) error {
			if err := site.read(cmd); err != nil {
				return err
			}
			p, err := obtain(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.install(cmd, &site, p, downgrade)
		}}
	site.flags(cmd)
	cmd.Flags().BoolVar(&downgrade, "allow-downgrade", false, "install a version that is older than the one in the lock")
	return cmd
}

// parcel is a package on its way here. Nothing of it is trusted but what its digest, or a signature, vouches for.
type parcel struct {
	*bundle.Bundle
	file      []byte
	signature []byte                                    // nil: it has none
	engine    func(ctx context.Context) ([]byte, error) // gets the engine that the package names
}

// obtain gets a package from a file or a registry.
func obtain(ctx context.Context, from string) (*parcel, error) {
	if ref, ok := strings.CutPrefix(from, ociPrefix); ok {
		return fetchArtifact(ctx, ref)
	}
	if strings.Contains(from, "://") && !exists(from) {
		return nil, usagef("%s: packages come from a file, or from a registry: oci:REGISTRY/REPOSITORY:TAG", from)
	}
	p := &parcel{}
	var err error
	if p.Bundle, err = openPackage(from); err != nil {
		return nil, err
	}
	if p.file, err = author.ReadBounded(from, bundle.MaxBytes); err != nil {
		return nil, err
	}
	if exists(from + server.SignatureSuffix) {
		p.signature, err = server.ReadSignature(from)
	}
	p.engine = func(context.Context) ([]byte, error) {
		return engines.After(engines.Folder(filepath.Dir(from))).Read(p.Engine())
	}
	return p, err
}

func (c *client) install(cmd *cobra.Command, site *site, p *parcel, downgrade bool) error {
	b := p.Bundle
	signer, err := admit(cmd, site, b, p.signature)
	if err != nil {
		return err
	}
	lock, err := server.LoadLock(site.Content)
	if err != nil {
		return err
	}
	dir := site.PluginsDir()
	if dir == "" {
		dir = filepath.Join(site.Content, "plugins")
	}
	if lock == nil {
		lock = trust.NewLock()
	}
	known, err := knows(lock, b.Manifest.Plugin)
	if err != nil {
		return err
	}
	before := lock.Plugins[b.Manifest.Plugin]
	changes, err := lock.Install(b, signer, time.Now(), downgrade)
	if err != nil {
		return err
	}
	engine, err := placeEngine(cmd.Context(), site, p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	target := filepath.Join(dir, b.Manifest.Plugin+".wasm")
	if err := place(target, p.file, p.signature); err != nil {
		return err
	}
	if err := writeLock(site.Content, lock); err != nil {
		return err
	}
	if err := dropEngines(site); err != nil {
		return err
	}
	done := installed{written: written{File: target, Plugin: b.Name(), Digest: b.Digest, Signer: signer, Engine: engine}}
	if known {
		done.Changes, done.Held = changes, trust.Widens(changes)
	} else {
		done.Asks = trust.AsksOf(&b.Manifest).Words()
	}
	return c.show(done, func(w *tabwriter.Writer) { done.tell(w, &b.Manifest, known, before.Signer) })
}

// installed is what install did.
type installed struct {
	written
	Asks    []string       `json:"asks,omitempty"`    // of a plugin that is new here
	Changes []trust.Change `json:"changes,omitempty"` // of another, beside what was granted
	Held    bool           `json:"held"`              // nothing of it runs before riposte plugin grant
}

func (i *installed) tell(w io.Writer, m *abi.Manifest, known bool, signerBefore string) {
	fmt.Fprintf(w, "%s is installed: %s, signed by %s\n", i.Plugin, i.File, orNobody(i.Signer))
	if i.Engine != "" {
		fmt.Fprintf(w, "It runs in %s: %s\n", m.Runtime, i.Engine)
	}
	if !known {
		fmt.Fprintln(w, "It asks for, and connectors may grant it:")
		for _, line := range i.Asks {
			fmt.Fprintln(w, "  "+line)
		}
		return
	}
	if signerBefore != i.Signer {
		fmt.Fprintf(w, "Its signer is another one: it was %s.\n", orNobody(signerBefore))
	}
	printChanges(w, i.Changes)
	if i.Held {
		fmt.Fprintf(w, "Nothing of %s runs until somebody accepts that: riposte plugin grant %s\n", m.Plugin, m.Plugin)
	}
}

// knows says whether something was granted to a plugin before: by the lock, or because it is built in. What is built in goes into the lock
// with what it asks for, since connectors may have granted that.
func knows(lock *trust.Lock, plugin string) (bool, error) {
	if _, ok := lock.Plugins[plugin]; ok {
		return true, nil
	}
	builtIn, err := server.BuiltIn()
	if b := builtIn[plugin]; b != nil {
		lock.Plugins[plugin] = trust.Pinned{Version: b.Manifest.Version, Digest: b.Digest, Granted: trust.AsksOf(&b.Manifest)}
		return true, nil
	}
	return false, err
}

// admit verifies the signature, or lets an unsigned package through where the site allows that.
func admit(cmd *cobra.Command, site *site, b *bundle.Bundle, signature []byte) (signer string, err error) {
	err = abi.NewFault(abi.Refused, b.Name()+" is not signed", "its author signs it with riposte plugin sign; `plugins: {unsigned: allow}` in riposte.yaml takes unsigned plugins")
	if signature != nil {
		signer, err = verify(site, b, signature)
	}
	if err != nil && site.Plugins.UnsignedAllowed() {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", err)
		return "", nil
	}
	return signer, err
}

// place copies a package and its signature into the folder of plugins. The signature of an earlier package does not stay.
func place(target string, file, signature []byte) error {
	if err := writeWhole(target, file, 0o644); err != nil {
		return err
	}
	if signature != nil {
		return writeWhole(target+server.SignatureSuffix, signature, 0o644)
	}
	if err := os.Remove(target + server.SignatureSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func writeLock(content string, lock *trust.Lock) error {
	text, err := lock.Format()
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(content, server.LockFile), text, 0o644)
}

func orNobody(signer string) string {
	if signer == "" {
		return "nobody"
	}
	return signer
}

// printChanges tells how what a plugin asks for differs from what was granted.
func printChanges(w io.Writer, changes []trust.Change) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "It asks for what was granted already.")
		return
	}
	fmt.Fprintln(w, "Beside what was granted:")
	for _, change := range changes {
		mark := "  less  "
		if change.Wider {
			mark = "  MORE  "
		}
		fmt.Fprintln(w, mark+change.Text)
	}
}

func grantCommand(c *client) *cobra.Command {
	var site site
	var yes bool
	cmd := &cobra.Command{Use: "grant NAME", Short: "Accept that an installed plugin asks for more than before", Args: exactly(1, "the name of a plugin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := site.read(cmd); err != nil {
				return err
			}
			lock, b, err := locked(&site, args[0])
			if err != nil {
				return err
			}
			changes := trust.Compare(lock.Plugins[args[0]].Granted, trust.AsksOf(&b.Manifest))
			fmt.Fprintln(c.writer(), b.Name())
			printChanges(c.writer(), changes)
			if !trust.Widens(changes) {
				return nil
			}
			if err := confirm(cmd, yes); err != nil {
				return err
			}
			if err := lock.Grant(b); err != nil {
				return err
			}
			if err := writeLock(site.Content, lock); err != nil {
				return err
			}
			fmt.Fprintln(c.writer(), "granted; the server takes it at its next start")
			return nil
		}}
	site.flags(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// pinned gives the lock, which must hold a plugin.
func pinned(site *site, name string) (*trust.Lock, error) {
	lock, err := server.LoadLock(site.Content)
	if err == nil && (lock == nil || lock.Plugins[name].Digest == "") {
		err = abi.NewFault(abi.NotFound, fmt.Sprintf("no plugin %q is in %s", name, server.LockFile), "riposte plugin install FILE puts it there; --content names another folder"+lockedNames(lock))
		err = inFile(filepath.Join(site.Content, server.LockFile), err, "")
	}
	return lock, err
}

func lockedNames(lock *trust.Lock) string {
	if lock == nil || len(lock.Plugins) == 0 {
		return ""
	}
	return "; installed are " + strings.Join(slices.Sorted(maps.Keys(lock.Plugins)), ", ")
}

// locked opens an installed plugin, which must be the one in the lock.
func locked(site *site, name string) (*trust.Lock, *bundle.Bundle, error) {
	lock, err := pinned(site, name)
	if err != nil {
		return nil, nil, err
	}
	b, err := openPackage(filepath.Join(site.PluginsDir(), name+".wasm"))
	if err != nil {
		return nil, nil, err
	}
	return lock, b, lock.Check(b)
}

func confirm(cmd *cobra.Command, yes bool) error {
	if yes {
		return nil
	}
	fmt.Fprint(cmd.ErrOrStderr(), "Grant that? [y/N] ")
	answer, err := await(cmd.Context(), func() (string, error) { return bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 64)).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not granted (--yes grants without asking)")
}

func removeCommand(c *client) *cobra.Command {
	var site site
	cmd := &cobra.Command{Use: "remove NAME", Aliases: []string{"rm"}, Short: "Remove an installed plugin, and forget what was granted to it", Args: exactly(1, "the name of a plugin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := site.read(cmd); err != nil {
				return err
			}
			lock, err := pinned(&site, args[0])
			if err != nil {
				return err
			}
			target := filepath.Join(site.PluginsDir(), args[0]+".wasm")
			for _, file := range []string{target, target + server.SignatureSuffix} {
				if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
			delete(lock.Plugins, args[0])
			if err := writeLock(site.Content, lock); err != nil {
				return err
			}
			fmt.Fprintf(c.writer(), "%s is removed\n", args[0])
			return dropEngines(&site)
		}}
	site.flags(cmd)
	return cmd
}
