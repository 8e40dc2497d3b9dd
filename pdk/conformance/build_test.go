package conformance_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
)

// languages are those that have a kit. Go comes first: the others are compared with it.
var languages = []struct {
	name  string
	build func(folder, out string) error
}{
	{"go", buildGo},
}

// errMissing says that a toolchain is not on this machine.
var errMissing = errors.New("not installed here (make toolchains)")

func run(folder string, env []string, program string, args ...string) error {
	if _, err := exec.LookPath(program); err != nil {
		return errMissing
	}
	c := exec.Command(program, args...)
	c.Dir, c.Env = folder, append(os.Environ(), env...)
	if said, err := c.CombinedOutput(); err != nil {
		return errors.New(strings.Join(c.Args, " ") + ": " + err.Error() + "\n" + string(said))
	}
	return nil
}

func buildGo(folder, out string) error {
	return run(folder, []string{"GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0"},
		"go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w -buildid=", "-o", out, ".")
}

// pack builds the plugin of a language.
func pack(t *testing.T, language string, build func(folder, out string) error) *bundle.Bundle {
	t.Helper()
	folder, err := filepath.Abs(language)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "module.wasm")
	if err := build(folder, out); errors.Is(err, errMissing) {
		t.Skip("NOT TESTED: ", language, ": ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := bundle.ManifestFromYAML(text, "plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	packed, err := bundle.Pack(module, manifest)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d KiB", language, len(packed)>>10)
	return b
}
