package author

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func c() Language {
	return Language{
		Name: "c", Title: "C", Template: "c/template",
		Kit:     map[string]string{"c": "c"},
		Sources: []string{"pdk/c"},
		Ready:   func() error { _, err := findClang(); return err },
		Compile: compileC,
	}
}

// cFlags make a module whose functions the host calls. The stack lies below everything else: whoever overflows it ends with a trap.
var cFlags = []string{"--target=wasm32-wasi", "-mexec-model=reactor", "-std=c11", "-Os", "-Wall", "-Wextra",
	"-Wl,--stack-first", "-Wl,-z,stack-size=262144", "-Wl,--strip-debug"}

// findClang gives a clang that can compile and link for wasm32-wasi with the C library.
func findClang() (string, error) {
	names := []string{"clang"}
	for version := 22; version >= 15; version-- {
		names = append(names, "clang-"+strconv.Itoa(version))
	}
	if sdk := os.Getenv("WASI_SDK_PATH"); sdk != "" {
		names = slices.Insert(names, 0, filepath.Join(sdk, "bin", "clang"))
	}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		try := exec.Command(path, append(slices.Clone(cFlags), "-x", "c", "-", "-o", os.DevNull)...)
		try.Stdin = strings.NewReader("#include <string.h>\n__attribute__((export_name(\"f\"))) int f(char *s) { return (int)strlen(s); }\n")
		if try.Run() == nil {
			return path, nil
		}
	}
	return "", abi.NewFault(abi.Failed, "C needs a clang that can compile for wasm32-wasi, with wasi-libc and compiler-rt, and wasm-ld",
		"apt install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32, or set WASI_SDK_PATH to a wasi-sdk")
}

// compileC builds the sources in the folder and in its folder src with those of the kit.
func compileC(ctx context.Context, p *Project) (*Made, error) {
	clang, err := findClang()
	if err != nil {
		return nil, err
	}
	kit, err := p.findKit("c", "riposte.h")
	if err != nil {
		return nil, err
	}
	var sources []string
	for _, folder := range []string{p.Dir, filepath.Join(p.Dir, "src"), kit} {
		found, err := filepath.Glob(filepath.Join(folder, "*.c"))
		if err != nil {
			return nil, err
		}
		sources = append(sources, found...)
	}
	out := filepath.Join(p.Scratch, "module.wasm")
	args := append(slices.Clone(cFlags), "-I"+kit, "-o", out)
	if err := p.Run(ctx, nil, clang, append(args, sources...)...); err != nil {
		return nil, err
	}
	module, err := ReadBounded(out, bundle.MaxBytes)
	return &Made{Module: module}, err
}

// findKit gives the folder of a kit that holds a file: that in the plugin's folder, or for plugins of this repository that in pdk.
func (p *Project) findKit(name, file string) (string, error) {
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return "", err
	}
	for {
		for _, kit := range []string{filepath.Join(dir, KitFolder, name), filepath.Join(dir, "pdk", name)} {
			if _, err := os.Stat(filepath.Join(kit, file)); err == nil {
				return kit, nil
			}
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("the kit is not there: no " + filepath.Join(KitFolder, name, file) + " in the plugin's folder")
		}
		dir = up
	}
}
