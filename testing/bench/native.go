package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// programs do what the plugins do, as one would write them to be started for each call: `program URL TOKEN ADDRESS`.
//
//go:embed native
var programs embed.FS

// command is a program that can be started.
type command struct {
	name string // for people
	args []string
}

// native gets the program ready that does natively what plugins in a language do. If this machine cannot run it, missing says why.
func (w *workshop) native(ctx context.Context, language string) (c command, missing string, err error) {
	ways := map[string]struct{ file, tool, name string }{
		"go": {"look_up.go", "go", "a Go program"}, "rust": {"look_up.rs", "rustc", "a Rust program"}, "c": {"look_up.c", "cc", "a C program"},
		"python": {"look_up.py", "python3", "python3 with urllib"}, "js": {"look_up.mjs", "node", "node"}, "ts": {"look_up.mjs", "node", "node"},
		"bash": {"look_up.sh", "bash", "bash with curl"},
	}
	way, ok := ways[language]
	if !ok {
		return c, "there is none of this measurement in that language", nil
	}
	tools := []string{way.tool}
	if language == "bash" {
		tools = append(tools, "curl")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return c, tool + " is not installed", nil
		}
	}
	text, err := programs.ReadFile("native/" + way.file)
	if err != nil {
		return c, "", err
	}
	source := filepath.Join(w.dir, way.file)
	if err := os.WriteFile(source, text, 0o644); err != nil {
		return c, "", err
	}
	c = command{way.name, []string{way.tool, source}}
	program := filepath.Join(w.dir, "look-up-"+language)
	var compile []string
	switch language {
	case "go":
		compile = []string{"go", "build", "-o", program, source}
	case "rust":
		compile = []string{"rustc", "--edition", "2021", "-O", "-o", program, source}
	case "c":
		compile = []string{"cc", "-O2", "-o", program, source}
	case "python": // itself, and not a script of a version manager
		out, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print(sys.executable)").Output()
		if err != nil {
			return c, "", fmt.Errorf("python3: %w", err)
		}
		c.args[0] = strings.TrimSpace(string(out))
	}
	if compile != nil {
		if said, err := exec.CommandContext(ctx, compile[0], compile[1:]...).CombinedOutput(); err != nil {
			return c, "", fmt.Errorf("%s: %w\n%s", strings.Join(compile, " "), err, said)
		}
		c.args = []string{program}
	}
	return c, "", nil
}

// fork gives a call that starts the program.
func (w *workshop) fork(ctx context.Context, c command) func() error {
	args := append(c.args, w.service.URL, serviceToken, address)
	return func() error {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", c.name, err, said.String())
		}
		return told(out)
	}
}

// shell measures what people write who have no kit, beside the dearest of the isolated calls.
func (w *workshop) shell(ctx context.Context, dearest time.Duration) error {
	const what = "started for each call: bash with curl"
	c, missing, err := w.native(ctx, "bash")
	if err != nil {
		return err
	}
	if missing != "" {
		row(what, "NOT MEASURED", missing)
		return nil
	}
	took, err := medians(20, w.fork(ctx, c))
	if err != nil {
		return err
	}
	row(what, ms(took[0]), fmt.Sprintf("%.1f × the dearest of the calls above, in a worker", float64(took[0])/float64(max(dearest, 1))))
	return nil
}
