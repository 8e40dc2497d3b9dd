package badgerstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// ext4Shutdown is EXT4_IOC_SHUTDOWN of the kernel's ext4 driver; noLogFlush is its flag EXT4_GOING_FLAGS_NOLOGFLUSH: what was
// not synced is gone, as when the power fails.
const (
	ext4Shutdown = 0x8004587d
	noLogFlush   = 2
)

// TestPowerCut cuts the power of a disk in the midst of work, several times on the same store. What was acknowledged must be
// there afterwards, and the store must never believe that it has lost something.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: power cuts, because of -short")
	}
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 2<<30); err != nil { // sparse
		t.Fatal(err)
	}
	if err := run("mkfs.ext4", "-q", "-F", image); err != nil {
		t.Skipf("NOT TESTED: power cuts, since no file system can be made here: %v", err)
	}
	if err := run("mount", "-o", "loop", image, mount); err != nil {
		t.Skipf("NOT TESTED: power cuts, since no disk can be mounted here: %v (run as root)", err)
	}
	mounted := true
	t.Cleanup(func() {
		if mounted {
			run("umount", mount)
		}
	})
	data := filepath.Join(mount, "data")
	var keys []string
	for cut := range 6 {
		unsynced := filepath.Join(mount, fmt.Sprint("unsynced", cut))
		keys = append(keys, killVictim(t, data, 200+rand.IntN(3000), func(*os.Process) error {
			return errors.Join(os.WriteFile(unsynced, []byte("lost"), 0o600), cutPower(mount))
		})...)
		if err := run("umount", mount); err != nil {
			t.Fatal(err)
		}
		mounted = false
		if err := run("mount", "-o", "loop", image, mount); err != nil {
			t.Fatal(err)
		}
		mounted = true
		if content, _ := os.ReadFile(unsynced); len(content) > 0 {
			t.Error("what was not synced is there: the power was not really cut")
		}
		checkKeys(t, data, keys)
		if t.Failed() {
			t.Fatalf("after power cut %d", cut+1)
		}
	}
	t.Logf("%d commits acknowledged before 6 power cuts, all there", len(keys))
}

func cutPower(mount string) error {
	d, err := os.Open(mount)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.IoctlSetPointerInt(int(d.Fd()), ext4Shutdown, noLogFlush)
}
