package harness_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/harness"
)

// A suite of a hundred cases, read and run.
func BenchmarkSuite(b *testing.B) {
	file := filepath.Join(wallFolder, harness.CasesFolder, "block.yaml")
	if _, err := shared.h.Run(b.Context(), shared.wall, nil, harness.Mode{}, nil); err != nil { // it is compiled once
		b.Fatal(err)
	}
	for b.Loop() {
		cases := make([]*harness.Case, 100)
		for i := range cases {
			c, problems := harness.LoadFile(file, shared.wall)
			if len(problems) > 0 {
				b.Fatal(problems)
			}
			cases[i] = c
		}
		report, err := shared.h.Run(b.Context(), shared.wall, cases, harness.Mode{}, nil)
		if err != nil || report.Count(harness.Passed) != len(cases) {
			b.Fatal(err)
		}
	}
}

// The cache of modules that were tried out loses its oldest code while it is too large, but none that may be in use; and before that all images,
// since one without its code cannot be used.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": 5 * time.Hour, "older": 6 * time.Hour, "new": time.Minute, "new.riposte-image": time.Second} {
		file := filepath.Join(dir, "cache", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, file, "")
		if err := os.Truncate(file, 600<<20); err != nil { // it takes no room
			t.Fatal(err)
		}
		if err := os.Chtimes(file, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := harness.Trim(dir, now); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "cache"))
	if err != nil || len(left) != 1 || left[0].Name() != "new" {
		t.Errorf("%v, left %v", err, left)
	}
	if err := harness.Trim(filepath.Join(dir, "none"), now); err != nil {
		t.Error(err)
	}
}
