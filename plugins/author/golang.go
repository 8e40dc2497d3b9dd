package author

import (
	"context"
	"path/filepath"

	"github.com/riposte-soar/riposte/host/bundle"
)

func golang() Language {
	return Language{
		Name: "go", Title: "Go", Also: []string{"golang"}, Template: "go/template",
		Kit:     map[string]string{"abi": "pdk/abi", "go": "pdk/go"},
		Sources: []string{"pdk/abi", "pdk/go", "plugins/geoip/countries", "plugins/whois/registry", "go.mod", "go.sum"},
		Tools:   []Tool{{"go", "install Go 1.26 or newer: https://go.dev/dl"}},
		Compile: compileGo,
	}
}

// compileGo builds the program in the folder as a module whose functions the host calls. The names of functions stay in (-w without -s): they
// are what a guest's stack is made of, and take 2 %.
func compileGo(ctx context.Context, p *Project) (*Made, error) {
	out := filepath.Join(p.Scratch, "module.wasm")
	env := []string{"GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWASM=", "CGO_ENABLED=0"}
	err := p.Run(ctx, env, "go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w -buildid=", "-o", out, ".")
	if err != nil {
		return nil, err
	}
	module, err := ReadBounded(out, bundle.MaxBytes)
	return &Made{Module: module}, err
}
