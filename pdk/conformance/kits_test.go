package conformance_test

import (
	"os/exec"
	"testing"
)

// TestKits runs the kits' own tests, which need no sandbox, in the tools of their languages.
func TestKits(t *testing.T) {
	for _, kit := range []struct {
		name, folder string
		command      []string
	}{
		{"rust", "../rust", []string{"cargo", "test", "--quiet", "--locked", "--workspace"}},
	} {
		t.Run(kit.name, func(t *testing.T) {
			if _, err := exec.LookPath(kit.command[0]); err != nil {
				t.Skip("NOT TESTED: ", kit.command[0], " is not installed")
			}
			c := exec.Command(kit.command[0], kit.command[1:]...)
			c.Dir = kit.folder
			if said, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, said)
			}
		})
	}
}
