package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server"
)

func engineCommand(c *client) *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "engine FILE", Short: "Write the engine that a package of scripts runs in beside the package, to hand both over",
		Long: "Write the engine that a package of scripts runs in beside the package, from where riposte plugin install takes it.\n" +
			"Packages name their engine by its digest, which their signature covers; so an engine needs no signature.",
		Args: exactly(1, "a package of scripts"), RunE: func(_ *cobra.Command, args []string) error {
			b, err := openPackage(args[0])
			if err != nil {
				return err
			}
			if b.Engine() == "" {
				return abi.NewFault(abi.Invalid, b.Name()+" runs in no engine: it is a module itself", "only packages of scripts need one: nothing else goes with this one")
			}
			engine, err := engines.After().Read(b.Engine())
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Dir(args[0])
			}
			file, err := writeEngine(out, b, engine)
			if err != nil {
				return err
			}
			return c.done(written{Plugin: b.Name(), Digest: b.Digest, Engine: file}, "%s", tellEngine(file, b, engine))
		}}
	outFlag(cmd, &out, "folder to write it to (default that of the package)")
	return cmd
}

// writeEngine writes the engine of a package into a folder, and gives its file.
func writeEngine(dir string, b *bundle.Bundle, engine []byte) (string, error) {
	file := filepath.Join(dir, engines.File(b.Engine()))
	return file, writeWhole(file, engine, 0o644)
}

// tellEngine says in a line what an engine that was written is for.
func tellEngine(file string, b *bundle.Bundle, engine []byte) string {
	return fmt.Sprintf("%s: %s, in which %s runs, %d KiB\n", file, b.Manifest.Runtime, b.Name(), (len(engine)+1023)>>10)
}

// placeEngine sees to it that the engine of a package lies in the content, and gives its file; "" for a package that needs none.
func placeEngine(ctx context.Context, site *site, p *parcel) (string, error) {
	if p.Engine() == "" {
		return "", nil
	}
	folder := filepath.Join(site.Content, server.EnginesDir)
	file := filepath.Join(folder, engines.File(p.Engine()))
	if _, err := engines.Folder(folder).Read(p.Engine()); err == nil {
		return file, nil
	}
	engine, err := p.engine(ctx)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	return file, writeWhole(file, engine, 0o644)
}

// dropEngines removes the engines from the content that no package in the folder of plugins names.
func dropEngines(site *site) error {
	unused, err := filepath.Glob(filepath.Join(site.Content, server.EnginesDir, "sha256-*.wasm"))
	if err != nil || unused == nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(site.PluginsDir(), "*.wasm"))
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, file := range packages {
		b, err := bundle.OpenFile(file)
		if err != nil {
			return nil // which is said when the server opens it; until then it may need any of them
		}
		used[engines.File(b.Engine())] = true
	}
	for _, file := range unused {
		if !used[filepath.Base(file)] {
			err = errors.Join(err, os.Remove(file))
		}
	}
	return err
}
