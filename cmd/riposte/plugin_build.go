package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// manifestFile is what an author writes.
const manifestFile = "plugin.yaml"

func buildCommand(c *client) *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "build [DIR]", Short: "Compile the plugin in a folder (Go), and pack it",
		Long: "Compile the Go program beside plugin.yaml for WebAssembly, and pack it with its manifest, its bill of materials, and what an operator\n" +
			"may want to read: README, LICENSE and CHANGELOG, and the folders docs, tests and scripts.",
		Args: cobra.MaximumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			manifest, head, err := readManifest(filepath.Join(dir, manifestFile))
			if err != nil {
				return err
			}
			if !slices.Contains(head.Languages, "go") {
				return usageError{errors.New("this command compiles Go only (languages: [go]); compile the module yourself, and use `riposte plugin pack`")}
			}
			module, err := compileGo(cmd.Context(), dir)
			if err != nil {
				return err
			}
			assets, err := collectAssets(dir)
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Join(dir, head.Plugin+".wasm")
			}
			return c.pack(out, module, head, bundle.Parts{Manifest: manifest, Assets: assets})
		}}
	outFlag(cmd, &out, "package to write (default DIR/PLUGIN.wasm)")
	return cmd
}

func packCommand(c *client) *cobra.Command {
	var out, assetsDir, bill string
	cmd := &cobra.Command{Use: "pack MODULE MANIFEST", Short: "Pack a compiled module with its manifest", Args: exactly(2, "a module (.wasm) and a manifest (plugin.yaml)"),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usageError{errors.New("-o FILE is missing: the package to write")}
			}
			module, err := readBounded(args[0], bundle.MaxBytes)
			if err != nil {
				return err
			}
			manifest, head, err := readManifest(args[1])
			if err != nil {
				return err
			}
			parts := bundle.Parts{Manifest: manifest}
			if assetsDir != "" {
				if parts.Assets, err = collectAssets(assetsDir); err != nil {
					return err
				}
			}
			if bill != "" {
				if parts.SBOM, err = readBounded(bill, bundle.MaxSBOM); err != nil {
					return err
				}
			}
			return c.pack(out, module, head, parts)
		}}
	outFlag(cmd, &out, "package to write")
	cmd.Flags().StringVar(&assetsDir, "assets", "", "folder whose README, LICENSE, CHANGELOG, docs, tests and scripts go into the package")
	cmd.Flags().StringVar(&bill, "sbom", "", "bill of materials, JSON (default: of what the module says, if it is written in Go)")
	return cmd
}

// outFlag gives a command that writes a file the flag -o, which is the output format elsewhere.
func outFlag(cmd *cobra.Command, to *string, usage string) {
	cmd.Flags().StringVarP(to, "output", "o", "", usage)
}

// pack makes the package, checks it as a server would, and writes it.
func (c *client) pack(out string, module []byte, head *abi.Manifest, parts bundle.Parts) error {
	if parts.SBOM == nil {
		bill, err := bundle.SBOM(module, head)
		if err != nil {
			return err
		}
		parts.SBOM = bill
	}
	packed, err := parts.Pack(module)
	if err != nil {
		return err
	}
	b, err := bundle.Open(packed)
	if err != nil {
		return err
	}
	if err := writeWhole(out, packed, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(c.writer(), "%s: %s, %d KiB, %s\n", out, b.Name(), (b.Size+1023)>>10, b.Digest)
	return nil
}

// readManifest reads plugin.yaml, as JSON and decoded.
func readManifest(file string) ([]byte, *abi.Manifest, error) {
	text, err := readBounded(file, bundle.MaxManifest)
	if err != nil {
		return nil, nil, err
	}
	manifest, err := bundle.ManifestFromYAML(text, file)
	if err != nil {
		return nil, nil, err
	}
	var head abi.Manifest
	return manifest, &head, json.Unmarshal(manifest, &head)
}

// compileGo builds the program in a folder as a module whose functions the host calls.
func compileGo(ctx context.Context, dir string) ([]byte, error) {
	scratch, err := os.MkdirTemp("", "riposte-build-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	out := filepath.Join(scratch, "module.wasm")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w -buildid=", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, abi.NewFault(abi.Failed, fmt.Sprintf("the plugin cannot be compiled: %v\n%s", err, bytes.TrimSpace(said)), "")
	}
	return readBounded(out, bundle.MaxBytes)
}

// collectAssets archives what of a plugin's folder an operator may want to read. Links and hidden files stay behind.
func collectAssets(dir string) ([]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		first, _, inside := strings.Cut(name, "/")
		folder := slices.Contains([]string{"docs", "tests", "scripts"}, first)
		base, _, _ := strings.Cut(name, ".")
		wanted := folder && (inside || entry.IsDir()) || !entry.IsDir() && slices.Contains([]string{"README", "LICENSE", "CHANGELOG"}, base)
		switch {
		case entry.IsDir() && (!wanted || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case !wanted || !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), "."):
			return nil
		}
		files[name], err = readBounded(filepath.Join(dir, filepath.FromSlash(name)), bundle.MaxAssets)
		return err
	})
	if err != nil || len(files) == 0 {
		return nil, err
	}
	return bundle.PackAssets(files)
}
