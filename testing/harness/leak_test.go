package harness_test

import (
	"path/filepath"
	"runtime"
	"testing"
	"weak"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/testing/harness"
)

// TestBuildsGo: of a plugin that is built and run again and again, as plugin test --watch does, nothing stays but the last.
func TestBuildsGo(t *testing.T) {
	file, err := shared.wall.Module()
	if err != nil {
		t.Fatal(err)
	}
	var builds []weak.Pointer[bundle.Bundle]
	for i := range byte(4) {
		b, err := bundle.Open(append(file[:len(file):len(file)], 0, 3, 1, 'x', i)) // a custom section, so that it is another one
		if err != nil {
			t.Fatal(err)
		}
		cases, err := harness.Load(filepath.Join(wallFolder, harness.CasesFolder), "", b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shared.h.Run(t.Context(), b, cases, harness.Mode{}, nil); err != nil {
			t.Fatal(err)
		}
		builds = append(builds, weak.Make(b))
	}
	runtime.GC()
	for i, b := range builds[:3] {
		if b.Value() != nil {
			t.Errorf("build %d is still there", i)
		}
	}
}
