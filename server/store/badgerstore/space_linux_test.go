package badgerstore

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// smallDisk mounts a memory disk of 160 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Skipf("NOT TESTED: a full disk, since no disk can be mounted here: %v (run as root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// take allocates a file that leaves so many bytes free.
func take(t *testing.T, dir string, leave uint64) (give func()) {
	t.Helper()
	free, err := freeSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "taken")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(allocate(f, int64(free-leave)), f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	data := filepath.Join(dir, "data")
	opts := Options{Ballast: 40 << 20, LowBelow: 60 << 20, ReadOnlyBelow: 50 << 20, Log: slog.New(slog.DiscardHandler)}
	reopened := func() *Store {
		t.Helper()
		s, err := Open(data, opts)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	wantState := func(s *Store, want Space) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(time.Millisecond) { // it does not look each time
			free, got := s.Space()
			if got == want {
				return
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%d bytes free: %v, want %v", free, got, want)
			}
		}
	}
	s := reopened()
	fill(t, s, 100)
	wantState(s, Normal)
	if info, err := os.Stat(filepath.Join(data, "ballast")); err != nil || info.Size() != opts.Ballast {
		t.Errorf("ballast: %v", err)
	}

	give := take(t, dir, 55<<20)
	wantState(s, Low)
	put(t, s, "low", "")
	give()

	give = take(t, dir, 45<<20)
	wantState(s, ReadOnly)
	for _, value := range [][]byte{nil, make([]byte, 1<<20)} {
		err := journal.Commit(context.Background(), s, []journal.Op{{Key: []byte("full"), Value: value}})
		if f := abi.AsFault(err); f.Kind != abi.Unavailable || f.Hint == "" || !f.Retryable {
			t.Errorf("commit on a full disk: %v", err)
		}
	}
	if n := count(t, s); n != 101 {
		t.Errorf("%d keys can be read, want 101", n)
	}
	give()
	wantState(s, Normal)
	put(t, s, "free again", "")

	// Not a byte is left: the ballast makes it possible to close the store, to open it again and to read.
	give = take(t, dir, 0)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = reopened()
	wantState(s, ReadOnly)
	if n := count(t, s); n != 102 {
		t.Errorf("%d keys can be read after the restart, want 102", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	// Nor is the ballast.
	give()
	give = take(t, dir, 0)
	if _, err := Open(data, opts); abi.AsFault(err).Kind != abi.Unavailable {
		t.Errorf("opened without any room: %v", err)
	}
	give()
	s = reopened()
	put(t, s, "and again", "")
	if _, err := os.Stat(filepath.Join(data, "ballast")); err != nil {
		t.Errorf("the ballast is not back: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
