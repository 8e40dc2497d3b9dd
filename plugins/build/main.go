// Command build makes the plugins that we ship: each folder with a plugin.yaml becomes one packed module.
//
//	go run ./plugins/build [-o plugins/dist] [name …]
//
// A plugin whose inputs did not change is left alone. The same inputs give the same bytes.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/plugins/author"
)

func main() {
	out := flag.String("o", "plugins/dist", "folder for the packed modules")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./plugins/build [-o folder] [name …]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := build(os.Stdout, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// build makes the plugins of these names, or all. It goes on after a failure, and reports all of them.
func build(progress io.Writer, out string, names []string) error {
	found, err := filepath.Glob("plugins/*/plugin.yaml")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(out, ".inputs"), 0o755); err != nil {
		return err
	}
	var all []error
	for _, name := range names {
		if !slices.Contains(found, filepath.Join("plugins", name, "plugin.yaml")) {
			all = append(all, fmt.Errorf("there is no plugin %q: no file plugins/%s/plugin.yaml (run this in the root of the repository)", name, name))
		}
	}
	for _, file := range found {
		folder := filepath.Dir(file)
		name := filepath.Base(folder)
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		began := time.Now()
		done, err := buildOne(folder, out)
		if err != nil {
			all = append(all, fmt.Errorf("plugin %s: %w", name, err))
			done = "FAILED"
		}
		fmt.Fprintf(progress, "%-24s %s (%s)\n", name, done, time.Since(began).Round(time.Millisecond))
	}
	return errors.Join(all...)
}

// buildOne makes one plugin and says what it did.
func buildOne(folder, out string) (string, error) {
	name := filepath.Base(folder)
	file := filepath.Join(folder, "plugin.yaml")
	_, head, err := author.ReadManifest(file)
	if err != nil {
		return "", err
	}
	if head.Plugin != name {
		return "", fmt.Errorf("%s names the plugin %q, but its folder is %s", file, head.Plugin, folder)
	}
	language, err := author.LanguageOf(head, file)
	if err != nil {
		return "", err
	}
	if err := language.Missing(); err != nil {
		return "skipped: " + err.Error(), nil
	}
	sum, err := digestOf(append([]string{folder}, language.Sources...))
	if err != nil {
		return "", err
	}
	target, marker := filepath.Join(out, name+".wasm"), filepath.Join(out, ".inputs", name)
	if before, err := os.ReadFile(marker); err == nil && string(before) == sum {
		if _, err := os.Stat(target); err == nil {
			return "up to date", nil
		}
	}
	p, err := author.Build(context.Background(), folder, author.Options{Bare: true})
	if err != nil {
		return "", err
	}
	part := target + ".part"
	if err := os.WriteFile(part, p.File, 0o644); err != nil {
		return "", err
	}
	if err := os.Rename(part, target); err != nil {
		return "", err
	}
	return fmt.Sprintf("built, %d KiB", p.Size>>10), os.WriteFile(marker, []byte(sum), 0o644)
}

// digestOf hashes files by name and content, tests and their folders excepted.
func digestOf(paths []string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, cmp.Or(os.Getenv("GOTOOLCHAIN"), "local"), runtime.Version())
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && entry.Name() == "tests" {
				return fs.SkipDir
			}
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return hashFile(h, path)
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(h hash.Hash, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s %d\n", filepath.ToSlash(path), len(content))
	_, err = h.Write(content)
	return err
}
