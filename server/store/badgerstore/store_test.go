package badgerstore

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/store/storetest"
)

// TestMain lets the test binary be started again as the process that is killed, and looks for goroutines left behind.
func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		os.Exit(victim(dir))
	}
	goleak.VerifyTestMain(m)
}

func TestExercise(t *testing.T) {
	storetest.Exercise(t, func(dir string) journal.Store { return open(t, dir, Options{}) })
}

// open opens a store without ballast, for which any fatal error fails the test.
func open(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	opts.Ballast = -1
	if opts.Fatal == nil {
		opts.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	}
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
