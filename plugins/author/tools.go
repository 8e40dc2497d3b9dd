package author

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// lookPath finds a program.
func lookPath(name string) (string, error) { return exec.LookPath(name) }

// maxSaid bounds what of a compiler's words goes into an error.
const maxSaid = 16 << 10

// Run starts a program of the author's machine in the plugin's folder, with these variables added to the environment. What it says is the
// error if it fails: compilers name file and line.
func (p *Project) Run(ctx context.Context, env []string, name string, args ...string) error {
	_, err := p.Output(ctx, env, name, args...)
	return err
}

// Output is Run, and gives what the program writes to its standard output.
func (p *Project) Output(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), env...)
	var output, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &said
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &exit):
		text := bytes.TrimSpace(append(output.Bytes(), said.Bytes()...))
		if len(text) > maxSaid {
			text = append([]byte("…"), text[len(text)-maxSaid:]...)
		}
		return nil, &abi.Fault{Kind: abi.Failed, Message: fmt.Sprintf("the plugin cannot be compiled:\n%s", text), Where: p.Dir, Hint: "said by " + filepath.Base(name) + " " + firstOf(args)}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return output.Bytes(), nil
}

func firstOf(args []string) string { return strings.Join(args[:min(1, len(args))], "") }
