package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/riposte-soar/riposte/server/journal"
)

// fill makes n commits of about a hundred bytes.
func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	for i := range n {
		put(t, s, fmt.Sprintf("%06d", i), strings.Repeat("v", 100))
	}
}

func put(t *testing.T, s *Store, key, value string) {
	t.Helper()
	if err := journal.Commit(t.Context(), s, []journal.Op{{Key: []byte(key), Value: []byte(value)}}); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.Scan(nil, nil, false, func(_, _ []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// flip changes one bit at a part of the used length of a file.
func flip(t *testing.T, path string, part float64) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(content, "\x00"))
	content[int(float64(used)*part)] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantLoss(t *testing.T, dir string, opts Options, what string) *LossError {
	t.Helper()
	opts.Ballast = -1
	s, err := Open(dir, opts)
	if err == nil {
		s.Close()
		t.Fatal("a store that has lost data was opened")
	}
	var loss *LossError
	if !errors.As(err, &loss) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "--accept-loss") {
		t.Fatalf("error %q, want a loss with %q", err, what)
	}
	return loss
}

// TestFlippedBit flips one bit of the log that a killed process leaves. The database opens without a word, and most of what
// was acknowledged is gone; the store must notice.
func TestFlippedBit(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	fill(t, s, 1000)
	for _, part := range []float64{0.1, 0.5, 0.98} {
		dir := crashed(t, s.dir)
		flip(t, logs(t, dir, ".mem")[0], part)
		loss := wantLoss(t, dir, Options{}, "the newest")
		left := 1000 - int(loss.Missing)
		if left < int(1000*part)-30 || left > int(1000*part)+30 {
			t.Errorf("bit flipped at %v: %d commits said to be missing", part, loss.Missing)
		}
		wantLoss(t, dir, Options{}, "the newest") // looking does not change it

		var said bytes.Buffer
		opts := Options{AcceptLoss: true, Log: slog.New(slog.NewTextHandler(&said, nil))}
		s := open(t, dir, opts)
		if s.Lost() != loss.Missing || count(t, s) != left || !strings.Contains(said.String(), "level=ERROR") {
			t.Errorf("accepted: lost %d, %d keys left, log %q; want %d and %d", s.Lost(), count(t, s), &said, loss.Missing, left)
		}
		fill(t, s, 10)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s := open(t, dir, Options{}); s.Lost() != 0 {
			t.Errorf("a loss of %d is told again", s.Lost())
		}
	}
}

// TestHole damages the older one of two logs: the newest commits are there, but not all before them.
func TestHole(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 500)
	older := crashed(t, dir)
	whole := open(t, older, Options{})
	if count(t, whole) != 500 {
		t.Fatal("the copy of a running store is not whole")
	}
	// The log of a second life, over a first one that has lost its end.
	flip(t, logs(t, dir, ".mem")[0], 0.5)
	broken := crashed(t, dir)
	os.Remove(filepath.Join(broken, "checkpoint"))
	db, err := badger.OpenManaged(badgerOptions(filepath.Join(broken, "badger"), slog.Default()))
	if err != nil {
		t.Fatal(err)
	}
	txn := db.NewTransactionAt(readAll, true)
	for seq := uint64(501); seq <= 510; seq++ {
		if err := txn.Set(chain{seq: seq}.record()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(txn.CommitAt(510, nil), db.Close()); err != nil {
		t.Fatal(err)
	}
	if loss := wantLoss(t, broken, Options{}, "though later ones are"); loss.Missing < 200 || loss.Missing > 300 {
		t.Errorf("%d commits said to be missing", loss.Missing)
	}
	opts := Options{AcceptLoss: true, Log: slog.New(slog.DiscardHandler)}
	if s := open(t, broken, opts); s.Lost() == 0 {
		t.Error("no loss told")
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, broken, Options{})
}

// TestCheckpoint replaces the database while the checkpoint stays, and the other way round.
func TestCheckpoint(t *testing.T) {
	dir, checkpoint := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	opts := Options{Checkpoint: checkpoint}
	s := open(t, dir, opts)
	fill(t, s, 20)
	old := crashed(t, dir)
	fill(t, s, 20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if loss := wantLoss(t, old, opts, "the newest 20"); loss.Missing != 20 {
		t.Errorf("%d commits said to be missing, want 20", loss.Missing)
	}
	wantLoss(t, t.TempDir(), opts, "the newest 40")

	// The old copy goes on alone, past the checkpoint: same numbers, other commits.
	other := open(t, old, Options{})
	put(t, other, "other", "")
	fill(t, other, 30)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	wantLoss(t, old, opts, "another one")

	// A checkpoint that was torn, damaged or removed is no reason not to start.
	content, err := os.ReadFile(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	torn := bytes.Clone(content)
	copy(torn[(binaryGeneration(content)%2)*slotStride:], make([]byte, slotSize/2))
	for name, content := range map[string][]byte{"torn": torn, "damaged": bytes.Repeat([]byte{7}, 100), "empty": nil} {
		if err := os.WriteFile(checkpoint, content, 0o600); err != nil {
			t.Fatal(err)
		}
		opts := Options{Checkpoint: checkpoint, Log: slog.New(slog.DiscardHandler)}
		if s := open(t, dir, opts); s.Lost() != 0 || count(t, s) != 20 {
			t.Errorf("%s checkpoint: lost %d, %d keys", name, s.Lost(), count(t, s))
		} else if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// binaryGeneration is the generation of the newest slot.
func binaryGeneration(content []byte) uint64 {
	first, _, _ := decodeSlot(content)
	second, _, _ := decodeSlot(content[slotStride:])
	return max(first, second)
}

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 2*slotStride))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "checkpoint")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := openCheckpoint(path)
		if err != nil {
			t.Fatal(err)
		}
		want := chain{seq: c.noted.seq + 1, head: [32]byte{1}}
		if err := errors.Join(c.write(want), c.close()); err != nil {
			t.Fatal(err)
		}
		if c, _, err = openCheckpoint(path); err != nil || c.noted != want {
			t.Errorf("read %v, %v; want %v", c.noted, err, want)
		}
		c.close()
	})
}

// TestManyCommits goes around the window of commit records more than once.
func TestManyCommits(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		// Skip ahead as if the commits in between had happened: only their records count.
		s := open(t, dir, Options{})
		next := s.chain
		for range window / 2000 {
			txn := s.db.NewTransactionAt(readAll, true)
			for range 2000 {
				next.seq++
				if err := txn.Set(next.record()); err != nil {
					t.Fatal(err)
				}
			}
			if err := txn.CommitAt(next.seq, nil); err != nil {
				t.Fatal(err)
			}
		}
		s.chain = next
		put(t, s, "key", "value")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s := open(t, dir, Options{}); s.chain.seq < 2*window {
		t.Errorf("newest commit is %d", s.chain.seq)
	}
}

// TestFailedCommit lets the database fail under the store: nothing is accepted any more, and nothing unsynced is shown.
func TestFailedCommit(t *testing.T) {
	fatal := make(chan error, 2)
	s := open(t, t.TempDir(), Options{Fatal: func(err error) { fatal <- err }})
	put(t, s, "before", "")
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err := journal.Commit(context.Background(), s, []journal.Op{{Key: []byte("k")}})
		if err == nil || !strings.Contains(err.Error(), "restart") {
			t.Errorf("commit after the failure: %v", err)
		}
	}
	if err := <-fatal; err == nil || len(fatal) != 0 {
		t.Errorf("fatal %v, and %d times more", err, len(fatal))
	}
	if _, err := s.Get([]byte("before")); err == nil {
		t.Error("a failed store can be read")
	}
}
