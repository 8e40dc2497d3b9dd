package badgerstore

import (
	"bytes"
	"errors"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/riposte-soar/riposte/server/journal"
)

// Get returns a copy of the value under key, or journal.ErrNotFound.
func (s *Store) Get(key []byte) ([]byte, error) {
	txn, end, err := s.view()
	if err != nil {
		return nil, err
	}
	defer end()
	item, err := txn.Get(userKey(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, journal.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if item.UserMeta() == metaLarge {
		return readLarge(txn, item)
	}
	return item.ValueCopy(nil)
}

// Scan calls fn as journal.Store says, on the state that was committed when it began.
func (s *Store) Scan(prefix, after []byte, reverse bool, fn func(key, value []byte) error) error {
	txn, end, err := s.view()
	if err != nil {
		return err
	}
	defer end()
	prefix = userKey(prefix)
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix, Reverse: reverse})
	defer it.Close()
	for it.Seek(start(prefix, after, reverse)); it.Valid(); it.Next() {
		item := it.Item()
		key := item.Key()[1:]
		if after != nil && bytes.Equal(key, after) {
			continue
		}
		err := item.Value(func(value []byte) error {
			if item.UserMeta() != metaLarge {
				return fn(key, value)
			}
			large, err := readLarge(txn, item)
			if err != nil {
				return err
			}
			return fn(key, large)
		})
		if errors.Is(err, journal.ErrStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// start is the stored key where a scan begins. The iterator itself ends it: it is valid only within the prefix, so a start
// outside of it must be moved to its near edge, or the scan is empty.
func start(prefix, after []byte, reverse bool) []byte {
	edge := prefix
	if reverse {
		edge = append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, maxKey)...)
	}
	if after == nil {
		return edge
	}
	from := userKey(after)
	if reverse == (bytes.Compare(from, edge) > 0) {
		return edge
	}
	return from
}

// view begins a read of what is committed; end must be called.
func (s *Store) view() (txn *badger.Txn, end func(), err error) {
	if f := s.failed.Load(); f != nil {
		return nil, nil, f
	}
	seq, ok := s.snapshots.begin()
	if !ok {
		return nil, nil, errClosed
	}
	txn = s.db.NewTransactionAt(seq, false)
	return txn, func() { txn.Discard(); s.snapshots.end(seq) }, nil
}

// snapshots knows which commits are read at present, so that compaction keeps what they can see.
type snapshots struct {
	mu      sync.Mutex
	newest  uint64
	reading map[uint64]int // readers by the number of the commit that they see
	idle    sync.Cond
	closed  bool
}

func (s *snapshots) start(newest uint64) {
	s.newest, s.reading, s.idle.L = newest, map[uint64]int{}, &s.mu
}

func (s *snapshots) begin() (seq uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false
	}
	s.reading[s.newest]++
	return s.newest, true
}

func (s *snapshots) end(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading[seq]--; s.reading[seq] == 0 {
		delete(s.reading, seq)
		s.idle.Broadcast()
	}
}

// advance makes a commit visible, and returns the oldest one that is still read.
func (s *snapshots) advance(newest uint64) (oldest uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest, oldest = newest, newest
	for seq := range s.reading {
		oldest = min(oldest, seq)
	}
	return oldest
}

// close refuses new reads and waits for the last one.
func (s *snapshots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for len(s.reading) > 0 {
		s.idle.Wait()
	}
}
