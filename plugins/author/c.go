package author

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func c() Language {
	return Language{
		Name: "c", Title: "C", Template: "c/template",
		Kit:     map[string]string{"c": "c"},
		Sources: []string{"pdk/c"},
		Ready: func() error {
			if !slices.ContainsFunc(clangs(), makesModules) {
				return noClang()
			}
			return nil
		},
		Compile: compileC,
	}
}

// Flags of a module whose functions the host calls. The stack lies below everything else: whoever overflows it leaves the memory, and
// the host knows it by the pointer. Linking has no -O: with one, clang would let wasm-opt work on the module where that happens to be installed,
// and other machines would get other bytes.
func cCompile() []string {
	return []string{"--target=wasm32-wasi", "-std=c11", "-Os", "-Wall", "-Wextra", "-c"}
}

func cLink() []string {
	return []string{"--target=wasm32-wasi", "-mexec-model=reactor", "-Wl,--stack-first", "-Wl,--export=__stack_pointer", "-Wl,-z,stack-size=262144", "-Wl,--strip-debug"}
}

// clangs lists the compilers of this machine that may know wasm32-wasi, the likeliest first.
func clangs() (paths []string) {
	names := []string{"clang"}
	for version := 22; version >= 15; version-- {
		names = append(names, "clang-"+strconv.Itoa(version))
	}
	if sdk := os.Getenv("WASI_SDK_PATH"); sdk != "" {
		names = slices.Insert(names, 0, filepath.Join(sdk, "bin", "clang"))
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// makesModules tries whether a clang can compile and link for wasm32-wasi with the C library.
func makesModules(clang string) bool {
	try := exec.Command(clang, append(cLink(), "-x", "c", "-", "-o", os.DevNull)...)
	try.Stdin = strings.NewReader("#include <string.h>\n__attribute__((export_name(\"f\"))) int f(char *s) { return (int)strlen(s); }\n")
	return try.Run() == nil
}

func noClang() error {
	return abi.NewFault(abi.Failed, "C needs a clang that can compile for wasm32-wasi, with wasi-libc and compiler-rt, and wasm-ld",
		"apt install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32, or set WASI_SDK_PATH to a wasi-sdk")
}

// compileC builds the sources in the folder and in its folder src with those of the kit. Whether a compiler is able to do that is tried only when it
// has failed: to try takes as long as a small plugin.
func compileC(ctx context.Context, p *Project) (*Made, error) {
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, err
	}
	kit, err := p.findKit("c", "riposte.h")
	if err != nil {
		return nil, err
	}
	for _, clang := range clangs() {
		module, err := p.clang(ctx, clang, dir, kit)
		if err != nil && ctx.Err() == nil && !makesModules(clang) {
			continue
		}
		made := &Made{Module: module}
		if err == nil && !p.Bare {
			made.Parts, err = p.clangParts(ctx, clang, dir, kit)
		}
		return made, err
	}
	return nil, noClang()
}

// clang compiles the sources side by side, and links them.
func (p *Project) clang(ctx context.Context, clang, dir, kit string) ([]byte, error) {
	args := append(cCompile(), "-I"+kit, "-ffile-prefix-map="+kit+"="+KitFolder+"/c", "-ffile-prefix-map="+dir+"=.") // where they lie does not go into the module
	place, err := p.kitObjects(kit, append(args, clang))
	if err != nil {
		return nil, err
	}
	sources, err := filesOf("*.c", dir, filepath.Join(dir, "src"), kit)
	if err != nil {
		return nil, err
	}
	objects, errs := make([]string, len(sources)), make([]error, len(sources))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, source := range sources {
		objects[i] = filepath.Join(p.Scratch, strconv.Itoa(i)+".o")
		if filepath.Dir(source) == kit {
			objects[i] = filepath.Join(place, filepath.Base(source)+".o")
			if _, err := os.Stat(objects[i]); err == nil {
				continue
			}
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = p.Run(ctx, nil, clang, append(slices.Clone(args), "-o", objects[i], source)...)
		})
	}
	wg.Wait()
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	out := filepath.Join(p.Scratch, "module.wasm")
	if err := p.Run(ctx, nil, clang, slices.Concat(cLink(), []string{"-o", out}, objects)...); err != nil {
		return nil, err
	}
	return ReadBounded(out, bundle.MaxBytes)
}

// kitObjects is the folder for what the kit is compiled to. If it stays for the next build, it is known by all that the objects depend on.
func (p *Project) kitObjects(kit string, command []string) (string, error) {
	if p.Kept == "" {
		return p.Scratch, nil
	}
	files, err := filesOf("*.[ch]", kit)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q", command, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%q", text)
	}
	place := filepath.Join(p.Kept, hex.EncodeToString(sum.Sum(nil)))
	return place, os.MkdirAll(place, 0o700)
}

// filesOf lists the files in folders whose names match a pattern.
func filesOf(pattern string, folders ...string) (all []string, err error) {
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
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
