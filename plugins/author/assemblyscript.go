package author

import (
	"context"
	"os/exec"
	"path/filepath"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func assemblyscript() Language {
	return Language{
		Name: "ts", Title: "AssemblyScript", Also: []string{"typescript", "as", "asc"}, Template: "assemblyscript/template",
		Kit:     map[string]string{"assemblyscript": "assemblyscript"},
		Sources: []string{"pdk/assemblyscript"},
		Tools:   []Tool{{"node", "install Node.js 20 or newer: https://nodejs.org"}},
		Compile: compileAssemblyScript,
		Ready:   func() error { _, err := findASC("."); return err },
	}
}

// ascVersion is the compiler that the kit is tested with.
const ascVersion = "0.28.20"

// findASC gives the compiler: that of the plugin's folder, the one in PATH, or that of pdk/toolchains.sh.
func findASC(dir string) (string, error) {
	const inside = "node_modules/.bin/asc"
	for _, name := range []string{filepath.Join(dir, inside), "asc", filepath.Join(toolchain("assemblyscript-"+ascVersion), inside)} {
		if found, err := exec.LookPath(name); err == nil {
			return filepath.Abs(found)
		}
	}
	return "", abi.NewFault(abi.Failed, "AssemblyScript needs its compiler, asc", "npm install in the plugin's folder, or npm install -g assemblyscript@"+ascVersion)
}

// compileAssemblyScript builds assembly/index.ts. The kit's transform names the exports as the actions are named.
func compileAssemblyScript(ctx context.Context, p *Project) (*Made, error) {
	asc, err := findASC(p.Dir)
	if err != nil {
		return nil, err
	}
	kit, err := p.findKit("assemblyscript", "index.ts")
	if err != nil {
		return nil, err
	}
	// Paths go into the module as they stand on the command line: relative to the folder that holds plugin and kit.
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, err
	}
	root := filepath.Dir(filepath.Dir(kit))
	paths := []string{filepath.Join(dir, "assembly", "index.ts"), filepath.Join(kit, "warm.ts"), filepath.Join(kit, "host"), filepath.Join(kit, "transform.js")}
	for i := range paths {
		if paths[i], err = filepath.Rel(root, paths[i]); err != nil {
			return nil, err
		}
		paths[i] = filepath.ToSlash(paths[i])
	}
	out := filepath.Join(p.Scratch, "module.wasm")
	within := *p
	within.Dir = root
	optimise := "-Oz"
	if p.Quick { // half of the time
		optimise = "-O0"
	}
	err = within.Run(ctx, nil, asc, paths[0], paths[1], "-o", out, optimise, "--runtime", "incremental", "--exportStart", "_initialize",
		"--use", "abort="+paths[2]+"/aborted", "--transform", "./"+paths[3])
	if err != nil {
		return nil, err
	}
	made := &Made{}
	if made.Module, err = ReadBounded(out, bundle.MaxBytes); err == nil && !p.Bare {
		made.Parts, err = ascParts(asc, dir, kit)
	}
	return made, err
}
