package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/plugins/author"
)

// TestWatch saves a program while plugin test --watch looks at it: so that a case fails, so that it cannot be compiled, and as it was; and where little
// is much for the package, so that it executes much, or nests deeply, after which modules are no longer interpreted.
func TestWatch(t *testing.T) {
	for name, test := range map[string]struct{ program, line, more, below, tells string }{
		"go": {program: "main.go"},
		"c":  {program: "main.c", line: "rp_value *result =", more: "for (volatile int i = 0; i < 2000000; i++) ;\n"},
		"c that nests deeply": {program: "main.c", line: "rp_value *result =", more: "if (nest(3000) < 0) return NULL;\n",
			below: "__attribute__((noinline)) int nest(int n) { volatile int here = n; return n == 0 ? 0 : nest(n - 1) + here; }\n", tells: "2,000 calls in each other at most"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := author.Find(strings.Fields(name)[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Missing(); err != nil {
				t.Skip("NOT TESTED: ", err)
			}
			dir := filepath.Join(t.TempDir(), "acme")
			if _, err := author.New(dir, "acme", l); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, test.program)
			text, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			save := func(content string) {
				if err := os.WriteFile(program, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), command(t), "plugin", "test", "--watch", dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			report := reports(t, out)
			report("3 passed")
			save(strings.Replace(string(text), "404", "418", 1))
			report("failed")
			save("this is no program\n")
			report(filepath.Base(program) + ":1:")
			if test.more != "" {
				save(strings.Replace(strings.Replace(string(text), test.line, test.more+test.line, 1), "static", test.below+"static", 1))
				report("3 passed", test.tells)
			}
			save(string(text))
			report("3 passed")
			if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
				t.Error(err)
			}
		})
	}
}

// reports gives a function that waits for the next report of plugin test --watch, which must tell something.
func reports(t *testing.T, out io.Reader) func(wants ...string) {
	lines := bufio.NewScanner(out)
	return func(wants ...string) {
		t.Helper()
		var said strings.Builder
		for lines.Scan() {
			if said.WriteString(lines.Text() + "\n"); !strings.Contains(lines.Text(), "Waiting for the next one") {
				continue
			}
			for _, want := range wants {
				if !strings.Contains(said.String(), want) {
					t.Fatalf("a report does not tell %q:\n%s", want, said.String())
				}
			}
			return
		}
		t.Fatalf("there is no report that tells %q, but %v:\n%s", wants, lines.Err(), said.String())
	}
}
