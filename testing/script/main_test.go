// Package script_test tells whole incidents over the real binary: a server as an operator starts it, simulated vendors that outlive its death,
// alarms as they come over the wire. The scripts lie in testdata; see scripts_test.go for their commands.
package script_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// binary is what the tests run.
var binary = flag.String("riposte", "", "binary to test; built from the sources if empty")

// patience bounds every wait for an event; a machine that is busy compiling may take its time.
const patience = time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare builds plugins and binary, and fills the cache of compiled modules that all servers of this user share, so that no test waits for
// the compiler.
func prepare() error {
	if *binary == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		*binary = filepath.Join(cache, "riposte", "testing", "riposte")
		for _, args := range [][]string{{"run", "./plugins/build"}, {"build", "-o", *binary, "./cmd/riposte"}} {
			cmd := exec.Command("go", args...)
			cmd.Dir = filepath.Join("..", "..")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("go %v: %w\n%s", args, err, out)
			}
		}
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	*binary = path
	if out, err := exec.Command(*binary, "plugin", "compile").CombinedOutput(); err != nil {
		return fmt.Errorf("riposte plugin compile: %w\n%s", err, out)
	}
	return nil
}
