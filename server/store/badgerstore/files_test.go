package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// TestEmptyLogs leaves behind what a death between the creation of a log and its first use leaves.
func TestEmptyLogs(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	fill(t, s, 50)
	dir := crashed(t, s.dir)
	for _, name := range []string{"00002.mem", "00099.mem", "000099.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, "badger", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, open(t, dir, Options{})); n != 50 {
		t.Errorf("%d keys, want 50", n)
	}
}

// TestTornLog cuts off the last commit of the log in its midst. It was acknowledged, so its absence must be told; without a
// checkpoint, as after a power cut that tore an unacknowledged commit, the store opens without it.
func TestTornLog(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	fill(t, s, 50)
	dir := crashed(t, s.dir)
	path := logs(t, dir, ".mem")[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(bytes.TrimRight(content, "\x00"))-20)); err != nil {
		t.Fatal(err)
	}
	wantLoss(t, dir, Options{}, "the newest 1 ")
	if err := os.Remove(filepath.Join(dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, open(t, dir, Options{})); n != 49 {
		t.Errorf("%d keys, want 49", n)
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	s := open(t, dir, Options{})
	_, err := Open(dir, Options{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("opened twice: %v", err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "badger")} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	put(t, s, "k", "v")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get([]byte("k"))
	for _, err := range []error{err, s.Scan(nil, nil, false, nil), s.Verify(), s.Backup(new(bytes.Buffer)),
		journal.Commit(t.Context(), s, []journal.Op{{Key: []byte("k")}})} {
		if abi.AsFault(err).Kind != abi.Unavailable {
			t.Errorf("after close: %v", err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	many := make([]journal.Op, 20_000)
	for i := range many {
		many[i].Key = fmt.Append(nil, i)
	}
	for name, ops := range map[string][]journal.Op{
		"value": {{Key: []byte("a")}, {Key: []byte("k"), Value: make([]byte, maxValue+1)}},
		"key":   {{Key: []byte("a")}, {Key: make([]byte, maxKey+1)}},
		"keys":  many,
	} {
		if err := journal.Commit(t.Context(), s, ops); abi.AsFault(err).Kind != abi.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := count(t, s); n != 0 {
		t.Errorf("%d keys of refused commits", n)
	}
	biggest := []journal.Op{{Key: bytes.Repeat([]byte{0xff}, maxKey), Value: make([]byte, maxValue)}}
	if err := journal.Commit(t.Context(), s, biggest); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
}

// TestFullQueue takes all room of the queue: Submit blocks until there is some, or until its caller gives up.
func TestFullQueue(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	if err := s.room.Acquire(t.Context(), queueBytes); err != nil {
		t.Fatal(err)
	}
	submit := func(ctx context.Context, key string, value []byte) (returned chan bool, answer chan error) {
		returned, answer = make(chan bool), make(chan error, 1)
		go func() {
			s.Submit(ctx, []journal.Op{{Key: []byte(key), Value: value}}, 0, func(err error) { answer <- err })
			close(returned)
		}()
		return returned, answer
	}
	impatient, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	for _, size := range []int{10, 1 << 20} {
		returned, answer := submit(impatient, "impatient", make([]byte, size))
		patientReturned, patient := submit(t.Context(), fmt.Sprint("patient", size), nil)
		select {
		case <-returned:
			t.Error("a submit returned though the queue is full")
		case <-patientReturned:
			t.Error("a submit returned though the queue is full")
		case <-answer:
			t.Error("a submit was answered though the queue is full")
		case <-time.After(20 * time.Millisecond):
		}
		giveUp()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller has given up: %v", err)
		}
		<-returned
		s.room.Release(queueBytes)
		if err := <-patient; err != nil {
			t.Errorf("the queue has room again: %v", err)
		}
		if err := s.room.Acquire(t.Context(), queueBytes); err != nil {
			t.Fatal(err)
		}
		impatient, giveUp = context.WithCancel(t.Context())
	}
	giveUp()
	s.room.Release(queueBytes)
	if n := count(t, s); n != 2 {
		t.Errorf("%d keys, want those of the two patient ones", n)
	}
}

// chunks counts the keys of a space of the store's own.
func chunks(t *testing.T, s *Store, space byte) (n int) {
	t.Helper()
	if err := eachKey(s.db, space, func(_, _ []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitChunks commits until the janitor has left so many chunks.
func awaitChunks(t *testing.T, s *Store, want int) {
	t.Helper()
	for range 10_000 {
		if chunks(t, s, chunkSpace) == want {
			return
		}
		put(t, s, "wait", "")
	}
	t.Errorf("%d chunks stay, want %d", chunks(t, s, chunkSpace), want)
}

// TestChunksAreRemoved replaces and removes large values, and interrupts one: no chunk may stay, and none may go to the value
// log.
func TestChunksAreRemoved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	value := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(value)
	for range 3 {
		put(t, s, "replaced", string(value))
		put(t, s, "removed", string(value))
	}
	if err := journal.Commit(t.Context(), s, []journal.Op{{Key: []byte("removed"), Delete: true}}); err != nil {
		t.Fatal(err)
	}
	interrupted := newRef(len(value))
	for _, part := range interrupted.parts(value)[:3] {
		part.seal()
		if err := s.enqueue(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	awaitChunks(t, s, 4)
	if n := chunks(t, s, largeSpace); n != 1 {
		t.Errorf("%d large values are recorded, want 1", n)
	}
	if got, err := s.Get([]byte("replaced")); err != nil || !bytes.Equal(got, value) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range logs(t, dir, ".vlog") {
		if info, err := os.Stat(path); err != nil || info.Size() > 64 {
			t.Errorf("the value log %s holds %d bytes, %v", path, info.Size(), err)
		}
	}
}

func TestBackup(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	fill(t, s, 300)
	value := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(value)
	put(t, s, "large", string(value))
	var backup bytes.Buffer
	if err := s.Backup(&backup); err != nil {
		t.Fatal(err)
	}
	put(t, s, "later", "")

	dir := filepath.Join(t.TempDir(), "restored")
	opts := Options{Ballast: -1}
	if err := Restore(dir, bytes.NewReader(backup.Bytes()), opts); err != nil {
		t.Fatal(err)
	}
	restored := open(t, dir, Options{})
	if n := count(t, restored); n != 301 {
		t.Errorf("%d keys restored, want 301", n)
	}
	if got, err := restored.Get([]byte("large")); err != nil || !bytes.Equal(got, value) {
		t.Errorf("large value: %d bytes, %v", len(got), err)
	}
	put(t, restored, "goes on", "")
	if err := restored.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Restore(dir, bytes.NewReader(backup.Bytes()), opts); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("restored over a store: %v", err)
	}
	for name, damaged := range map[string][]byte{
		"cut":     backup.Bytes()[:backup.Len()-100],
		"flipped": append(append(bytes.Clone(backup.Bytes()[:5000]), ^backup.Bytes()[5000]), backup.Bytes()[5001:]...),
		"empty":   nil,
	} {
		if err := Restore(filepath.Join(t.TempDir(), name), bytes.NewReader(damaged), opts); err == nil {
			t.Errorf("a %s backup was restored", name)
		}
	}
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 500)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	if err := s.Verify(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, logs(t, dir, ".sst")[0], 0.1)
	s = open(t, dir, Options{})
	if err := s.Verify(); err == nil {
		t.Error("a damaged table was not noticed")
	}
}

// TestSnapshot removes, under a scan, what the scan has yet to see, and lets compaction take the old versions away.
func TestSnapshot(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	value := make([]byte, 600<<10)
	for i := range 8 {
		put(t, s, fmt.Sprint(i), string(append(value, byte(i))))
	}
	n := 0
	if err := s.Scan(nil, nil, false, func(_, got []byte) error {
		if n == 0 {
			for i := range 8 {
				put(t, s, fmt.Sprint(i), "gone")
			}
			awaitChunks(t, s, 0)
			if err := s.db.Flatten(1); err != nil && !errors.Is(err, badger.ErrRejected) {
				return err
			}
		}
		if len(got) != len(value)+1 || int(got[len(value)]) != n {
			t.Errorf("value %d has %d bytes", n, len(got))
		}
		n++
		return nil
	}); err != nil || n != 8 {
		t.Errorf("%d keys, %v", n, err)
	}
}
