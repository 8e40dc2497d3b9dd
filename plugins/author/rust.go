package author

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func rust() Language {
	return Language{
		Name: "rust", Title: "Rust", Also: []string{"rs"}, Template: "rust/template",
		Kit:     map[string]string{"rust": "rust"},
		Sources: []string{"pdk/rust/src", "pdk/rust/Cargo.toml", "Cargo.toml", "Cargo.lock"},
		Tools:   []Tool{{"cargo", "install Rust: https://rustup.rs"}},
		Ready:   func() error { _, err := findRust(); return err },
		Compile: compileRust,
	}
}

const rustTarget = "wasm32-unknown-unknown"

// rustTools are a cargo that can compile for rustTarget, and the variables that it needs.
type rustTools struct {
	cargo string
	env   []string
	flags []string
}

// findRust takes the Rust in PATH if it has the target, and otherwise that of the system with the standard library that pdk/toolchains.sh
// compiled for it.
func findRust() (rustTools, error) {
	if root, err := exec.Command("rustc", "--print", "sysroot").Output(); err == nil && hasTarget(strings.TrimSpace(string(root))) {
		return rustTools{cargo: "cargo"}, nil
	}
	const rustc, linker = "/usr/bin/rustc", "wasm-ld-19"
	words, err := exec.Command(rustc, "--version").Output()
	if version := strings.Fields(string(words)); err == nil && len(version) > 1 {
		_, err := exec.LookPath(linker)
		if root := toolchain("rust-" + version[1]); err == nil && hasTarget(root) {
			return rustTools{"/usr/bin/cargo", []string{"RUSTC=" + rustc, "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=" + linker}, []string{"--sysroot=" + root}}, nil
		}
	}
	return rustTools{}, abi.NewFault(abi.Failed, "this Rust has no standard library for "+rustTarget, "rustup target add "+rustTarget+"; without rustup, make toolchains in a checkout of Riposte")
}

func hasTarget(sysroot string) bool {
	found, err := filepath.Glob(filepath.Join(sysroot, "lib", "rustlib", rustTarget, "lib", "libstd-*.rlib"))
	return err == nil && len(found) > 0
}

// toolchain is the folder of a toolchain that pdk/toolchains.sh made, or would make.
func toolchain(name string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "riposte", "toolchains", name)
}

// compileRust builds the library in the folder. Where the crates lie on this machine does not go into the module.
func compileRust(ctx context.Context, p *Project) (*Made, error) {
	tools, err := findRust()
	if err != nil {
		return nil, err
	}
	crates, err := crateFolders()
	if err == nil && (!p.Quick || len(crates) == 0) { // which cargo build does too, but then the folder of the crates is not known before
		if err = p.Run(ctx, tools.env, tools.cargo, "fetch", "--target", rustTarget); err == nil {
			crates, err = crateFolders()
		}
	}
	if err != nil {
		return nil, err
	}
	flags := append(slices.Clone(tools.flags), "-Clink-arg=--export=__stack_pointer") // by which the host knows a stack that overflowed
	for _, folder := range crates {
		flags = append(flags, "--remap-path-prefix="+folder+"=crates")
	}
	env := append(tools.env, "CARGO_ENCODED_RUSTFLAGS="+strings.Join(flags, "\x1f"))
	if p.Quick { // a fifth of a second instead of three, for the crate alone
		env = append(env, "CARGO_PROFILE_RELEASE_LTO=off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16", "CARGO_PROFILE_RELEASE_INCREMENTAL=true", "CARGO_PROFILE_RELEASE_OPT_LEVEL=1")
	}
	said, err := p.Output(ctx, env, tools.cargo, "build", "--release", "--target", rustTarget, "--message-format=json-render-diagnostics")
	if err != nil {
		return nil, err
	}
	file, parts, err := rustModule(said)
	if err != nil {
		return nil, err
	}
	module, err := ReadBounded(file, bundle.MaxBytes)
	return &Made{Module: module, Parts: parts}, err
}

// crateFolders lists where cargo keeps the sources of crates, one folder for each registry.
func crateFolders() ([]string, error) {
	return filepath.Glob(filepath.Join(cargoHome(), "registry", "src", "*"))
}

func cargoHome() string {
	if home := os.Getenv("CARGO_HOME"); home != "" {
		return home
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cargo")
}

// rustModule finds the module among the messages of cargo, one JSON document a line, and the crates that were compiled for it.
// https://doc.rust-lang.org/cargo/reference/external-tools.html#artifact-messages
func rustModule(said []byte) (file string, crates []bundle.Component, err error) {
	for line := range bytes.Lines(said) {
		var message struct {
			Package   string   `json:"package_id"`
			Filenames []string `json:"filenames"`
		}
		if json.Unmarshal(line, &message) != nil {
			continue
		}
		for _, name := range message.Filenames {
			if strings.HasSuffix(name, ".wasm") {
				file = name
			}
		}
		if slices.ContainsFunc(message.Filenames, func(name string) bool { return strings.Contains(filepath.ToSlash(name), "/"+rustTarget+"/") }) {
			crates = append(crates, crateOf(message.Package))
		}
	}
	if file == "" {
		return "", nil, errors.New("cargo made no module: Cargo.toml needs [lib] with crate-type = [\"cdylib\"]")
	}
	slices.SortFunc(crates, func(a, b bundle.Component) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
	})
	return file, slices.CompactFunc(crates, func(a, b bundle.Component) bool { return a.Name == b.Name && a.Version == b.Version }), nil
}

// crateOf names a crate by its package id: SOURCE#NAME@VERSION, or SOURCE#VERSION where the source ends in the name.
// https://doc.rust-lang.org/cargo/reference/pkgid-spec.html
func crateOf(id string) bundle.Component {
	source, name, _ := strings.Cut(id, "#")
	name, version, named := strings.Cut(name, "@")
	if !named {
		name, version = path.Base(source), name
	}
	c := bundle.Component{Type: "library", Name: name, Version: version}
	if !strings.HasPrefix(source, "path+") { // a folder on the author's machine says nothing to others
		c.PURL = "pkg:cargo/" + name + "@" + version
	}
	return c
}
