// Command build makes the plugins that we ship: each folder with a plugin.yaml becomes one packed module.
//
//	go run ./plugins/build [-o plugins/dist] [name …]
//
// A plugin whose inputs did not change is left alone. The same inputs give the same bytes.
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
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

// languages knows how each language is compiled: by name, the command line that writes the module to the path out.
var languages = map[string]struct {
	// tool is what must be on the machine.
	tool string
	// inputs are folders and files, besides the plugin's own, that the module is made of.
	inputs  []string
	compile func(folder, out string) *exec.Cmd
}{
	"go": {"go", []string{"pdk/abi", "pdk/go", "plugins/geoip/countries", "plugins/whois/registry", "go.mod", "go.sum"}, compileGo},
}

func compileGo(folder, out string) *exec.Cmd {
	// The names of functions stay in (-w without -s): they are what a guest's stack is made of, and take 2 %.
	c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w -buildid=", "-o", out, "./"+folder)
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWASM=", "CGO_ENABLED=0")
	return c
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
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	manifest, err := bundle.ManifestFromYAML(text, file)
	if err != nil {
		return "", err
	}
	var head abi.Manifest
	if err := json.Unmarshal(manifest, &head); err != nil {
		return "", err
	}
	if head.Plugin != name {
		return "", fmt.Errorf("%s names the plugin %q, but its folder is %s", file, head.Plugin, folder)
	}
	if len(head.Languages) == 0 {
		return "", fmt.Errorf("%s: languages is missing: for example languages: [go]", file)
	}
	language, ok := languages[head.Languages[0]]
	if !ok {
		return "skipped: this tool cannot compile " + head.Languages[0] + " yet", nil
	}
	if _, err := exec.LookPath(language.tool); err != nil {
		return "skipped: " + language.tool + " is not installed", nil
	}
	sum, err := digestOf(append([]string{folder}, language.inputs...))
	if err != nil {
		return "", err
	}
	target, marker := filepath.Join(out, name+".wasm"), filepath.Join(out, ".inputs", name)
	if before, err := os.ReadFile(marker); err == nil && string(before) == sum {
		if _, err := os.Stat(target); err == nil {
			return "up to date", nil
		}
	}
	size, err := compile(language.compile, folder, target, manifest)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("built, %d KiB", size>>10), os.WriteFile(marker, []byte(sum), 0o644)
}

// compile makes the module, packs the manifest into it, checks the package and writes it.
func compile(command func(folder, out string) *exec.Cmd, folder, target string, manifest []byte) (int, error) {
	scratch, err := os.MkdirTemp("", "plugin-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	raw := filepath.Join(scratch, "module.wasm")
	var said bytes.Buffer
	c := command(folder, raw)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, said.String())
	}
	module, err := os.ReadFile(raw)
	if err != nil {
		return 0, err
	}
	packed, err := bundle.Pack(module, manifest)
	if err != nil {
		return 0, err
	}
	if _, err := bundle.Open(packed); err != nil {
		return 0, err
	}
	part := target + ".part"
	if err := os.WriteFile(part, packed, 0o644); err != nil {
		return 0, err
	}
	return len(packed), os.Rename(part, target)
}

// digestOf hashes files by name and content, tests excepted.
func digestOf(paths []string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, cmp.Or(os.Getenv("GOTOOLCHAIN"), "local"), runtime.Version())
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
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
