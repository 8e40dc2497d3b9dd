package author_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/riposte-soar/riposte/plugins/author"
)

// TestUnitTestsOfTheTemplates runs the tests that a new plugin comes with, in the tools of its language.
func TestUnitTestsOfTheTemplates(t *testing.T) {
	shareCrates(t)
	for language, command := range map[string]string{
		"rust": "cargo test --quiet",
		"c":    "cc -Wall -Wextra -Werror -Iriposte-pdk/c -o build-test test/look_up.c riposte-pdk/c/*.c -lm && ./build-test",
		"ts":   "node --test test/*.js",
	} {
		t.Run(language, func(t *testing.T) {
			l, err := author.Find(language)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Missing(); err != nil {
				t.Skip("NOT TESTED: ", err)
			}
			dir := filepath.Join(t.TempDir(), "acme-list")
			if _, err := author.New(dir, "acme-list", l); err != nil {
				t.Fatal(err)
			}
			if language == "ts" { // which tests the module
				p, err := author.Build(t.Context(), dir, author.Options{})
				if err != nil {
					t.Fatal(err)
				}
				writeFile(t, filepath.Join(dir, "acme-list.wasm"), p.File)
			}
			c := exec.Command("bash", "-c", command)
			c.Dir = dir
			if said, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", command, err, said)
			}
		})
	}
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// shareCrates lets cargo keep what it compiles in one place: a new plugin needs the same crates as the one before.
func shareCrates(t *testing.T) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CARGO_TARGET_DIR", filepath.Join(cache, "riposte", "testing", "cargo"))
}
