package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
)

func newCommand(c *client) *cobra.Command {
	var lang string
	cmd := &cobra.Command{Use: "new NAME", Short: "Make the folder of a new plugin, which builds and passes its tests at once",
		Long: "Make a folder with a manifest, a program with one action, its tests, and the kit of the language. It needs nothing of this program's sources.\n" +
			"Languages: " + strings.Join(languages(), ", ") + ".",
		Args: exactly(1, "the name of the plugin"), RunE: func(_ *cobra.Command, args []string) error {
			l, err := author.Find(lang)
			if err != nil {
				return err
			}
			dir := args[0]
			files, err := author.New(dir, filepath.Base(filepath.Clean(dir)), l)
			if err != nil {
				return newFolder(dir, err)
			}
			missing := abi.AsFault(l.Missing())
			before := ""
			if missing != nil {
				before = fmt.Sprintf("\nBefore that: %s.\n  %s\n", missing.Message, missing.Hint)
			}
			return c.done(made{dir, l.Name, files, missing}, "%s: a plugin in %s, %d files\n\n  cd %s\n  riposte plugin build\n  riposte plugin test\n%s",
				dir, l.Title, len(files), quoted(dir), before)
		}}
	cmd.Flags().StringVar(&lang, "lang", "go", "language: "+strings.Join(languages(), ", "))
	return cmd
}

// made is a new plugin's folder.
type made struct {
	Folder   string     `json:"folder"`
	Language string     `json:"language"`
	Files    []string   `json:"files"`
	Missing  *abi.Fault `json:"missing,omitempty"` // on this machine, to build it
}

// newFolder says why a folder cannot be made. What is wrong with its name says so itself.
func newFolder(dir string, err error) error {
	if errors.As(err, new(*abi.Fault)) {
		return err
	}
	return inFile(dir, err, "the name of a folder that can be made")
}

func languages() (names []string) {
	for _, l := range author.Languages() {
		names = append(names, l.Name)
	}
	return names
}

func buildCommand(c *client) *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "build [DIR]", Short: "Compile the plugin in a folder, and pack it",
		Long: "Compile the program beside plugin.yaml for WebAssembly, and pack it with its manifest, its bill of materials, and what an operator\n" +
			"may want to read: README, LICENSE and CHANGELOG, and the folders docs, tests and scripts. The manifest's languages say what it is written in.",
		Args: folderArg, RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			p, err := author.Build(cmd.Context(), dir, author.Options{Say: func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), what) }})
			if err != nil {
				return err
			}
			if out == "" {
				out = dir
			}
			return c.writePackage(out, p)
		}}
	outFlag(cmd, &out, "package to write, or the folder to write PLUGIN.wasm to (default DIR)")
	return cmd
}

func packCommand(c *client) *cobra.Command {
	var out, assetsDir, bill string
	cmd := &cobra.Command{Use: "pack MODULE MANIFEST", Short: "Pack a compiled module with its manifest", Args: exactly(2, "a module (.wasm) and a manifest (plugin.yaml)"),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usageError{errors.New("-o FILE is missing: the package to write")}
			}
			module, err := readFile(args[0], bundle.MaxBytes, "a compiled module")
			if err != nil {
				return err
			}
			var parts bundle.Parts
			if assetsDir != "" {
				if parts.Assets, err = author.CollectAssets(assetsDir); err != nil {
					return inFile(assetsDir, err, "a folder with README, LICENSE, CHANGELOG, docs, tests or scripts")
				}
			}
			if bill != "" {
				if parts.SBOM, err = readFile(bill, bundle.MaxSBOM, "a bill of materials, CycloneDX as JSON"); err != nil {
					return err
				}
			}
			p, err := author.Pack(module, args[1], parts)
			if err != nil {
				return fmt.Errorf("%s with %s: %w", args[0], args[1], err)
			}
			return c.writePackage(out, p)
		}}
	outFlag(cmd, &out, "package to write, or the folder to write PLUGIN.wasm to")
	cmd.Flags().StringVar(&assetsDir, "assets", "", "folder whose README, LICENSE, CHANGELOG, docs, tests and scripts go into the package")
	cmd.Flags().StringVar(&bill, "sbom", "", "bill of materials, JSON (default: of what the module says, if it is written in Go)")
	return cmd
}

// outFlag gives a command that writes a file the flag -o, which is the output format elsewhere.
func outFlag(cmd *cobra.Command, to *string, usage string) {
	cmd.Flags().StringVarP(to, "output", "o", "", usage)
}

// writePackage writes a package to a file, or into a folder, and says what it is.
func (c *client) writePackage(out string, p *author.Package) error {
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		out = filepath.Join(out, p.Manifest.Plugin+".wasm")
	}
	if err := writeWhole(out, p.File, 0o644); err != nil {
		return err
	}
	return c.done(written{File: out, Plugin: p.Name(), Digest: p.Digest}, "%s: %s, %d KiB, %s\n", out, p.Name(), (p.Size+1023)>>10, p.Digest)
}
