package badgerstore

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/riposte-soar/riposte/server/journal"
)

// victimEnv names the store that a killed process writes to.
const victimEnv = "BADGERSTORE_VICTIM"

// victim commits from several goroutines, among it large values, and prints each key once it is acknowledged, until it dies.
func victim(dir string) int {
	s, err := Open(dir, Options{Ballast: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d/%d/%d", os.Getpid(), w, i)
				value := victimValue(key, w == 7)
				if err := journal.Commit(context.Background(), s, []journal.Op{{Key: []byte(key), Value: value}}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(key)
				out.Unlock()
			}
		})
	}
	wg.Wait()
	return 0
}

func victimValue(key string, large bool) []byte {
	n := 100
	if large {
		n = 40 << 10
	}
	if large && strings.HasSuffix(key, "0") {
		n = 300 << 10
	}
	return []byte(strings.Repeat(key+" ", n/len(key)))
}

// TestKill kills the process 20 times in the midst of its work. What it has acknowledged must be there afterwards, and the
// store must never believe that it has lost something.
func TestKill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	acknowledged := 0
	for round := range 20 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), victimEnv+"="+dir)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var keys []string
		lives := 1 + rand.IntN(2000)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			keys = append(keys, lines.Text())
			if len(keys) == lives {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: the process ended by itself: %v", round, err)
		}
		s, err := Open(dir, Options{Ballast: -1})
		if err != nil {
			t.Fatalf("round %d, after %d acknowledged commits: %v", round, len(keys), err)
		}
		for _, key := range keys {
			large := strings.Split(key, "/")[1] == "7"
			if got, err := s.Get([]byte(key)); err != nil || string(got) != string(victimValue(key, large)) {
				t.Errorf("round %d: acknowledged %s: %d bytes, %v", round, key, len(got), err)
			}
		}
		acknowledged += len(keys)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d commits acknowledged before 20 kills, all there", acknowledged)
}

// crashed copies the files of a running store, as its death would leave them.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// logs returns the database's files with the ending.
func logs(t *testing.T, dir, ending string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "badger", "*"+ending))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
