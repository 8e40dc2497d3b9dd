package badgerstore

import (
	"bufio"
	"bytes"
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
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	var keys []string
	for round := range rounds {
		keys = append(keys, killVictim(t, dir, 1+rand.IntN(2000), (*os.Process).Kill)...)
		checkKeys(t, dir, keys)
		if t.Failed() {
			t.Fatalf("in round %d", round+1)
		}
	}
	t.Logf("%d commits acknowledged before %d kills, all there", len(keys), rounds)
}

// TestSyncFails lets the system refuse to sync. The process must end at once, since what it has in memory is no longer what is
// on disk, and what it acknowledged before must be there.
func TestSyncFails(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	strace := []string{"-f", "-qq", "-o", os.DevNull, "-e", "trace=fdatasync", "-e", "signal=none"}
	if err := run("strace", append(strace, "true")...); err != nil {
		t.Skipf("NOT TESTED: a failing disk, since system calls cannot be made to fail here: %v (install strace)", err)
	}
	dir := t.TempDir()
	cmd := exec.Command("strace", append(strace, "-e", "inject=fdatasync:error=EIO:when=100+", self)...)
	cmd.Env = append(os.Environ(), victimEnv+"="+dir)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err == nil || cmd.ProcessState.ExitCode() != 70 || !strings.Contains(complaint.String(), "must be restarted") {
		t.Errorf("the process ended with %v: %s", err, &complaint)
	}
	keys := strings.Fields(string(out))
	checkKeys(t, dir, keys)
	t.Logf("%d commits acknowledged before the disk failed, all there", len(keys))
}

// killVictim starts the victim, kills it once it has acknowledged so many commits, and returns all that it has acknowledged.
func killVictim(t *testing.T, dir string, lives int, kill func(*os.Process) error) (keys []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), victimEnv+"="+dir)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		keys = append(keys, lines.Text())
		if len(keys) == lives {
			if err := kill(cmd.Process); err != nil {
				t.Errorf("kill: %v", err)
				cmd.Process.Kill()
			}
		}
	}
	cmd.Wait() // it never ends well
	if len(keys) < lives {
		t.Fatalf("the process ended by itself after %d commits: %s", len(keys), &complaint)
	}
	return keys
}

// checkKeys opens the store and looks for all that was acknowledged.
func checkKeys(t *testing.T, dir string, keys []string) {
	t.Helper()
	s, err := Open(dir, Options{Ballast: -1})
	if err != nil {
		t.Errorf("open after %d acknowledged commits: %v", len(keys), err)
		return
	}
	for _, key := range keys {
		large := strings.Split(key, "/")[1] == "7"
		if got, err := s.Get([]byte(key)); err != nil || string(got) != string(victimValue(key, large)) {
			t.Errorf("acknowledged %s: %d bytes, %v", key, len(got), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
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

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
