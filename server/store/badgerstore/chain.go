package badgerstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// window is how many commits keep their record. It covers what may still be in the database's logs, where a flipped bit cuts
// off all that follows it in the same file, without an error.
const window = 1 << 16

// chain is the position of a commit in the history of the store: its number, counted from one, which is also the version of
// everything that it wrote, and the hash over the previous head and the commit's requests.
type chain struct {
	seq  uint64
	head [sha256.Size]byte
}

// record is the key and the value that every commit writes along.
func (c chain) record() (key, value []byte) {
	key = binary.BigEndian.AppendUint32([]byte{commitSpace}, uint32(c.seq%window))
	return key, append(binary.BigEndian.AppendUint64(nil, c.seq), c.head[:]...)
}

// LossError says that the store lacks commits which it had acknowledged.
type LossError struct {
	What    string
	Missing uint64 // commits; zero if that cannot be known
}

// Error says what is missing and what can be done.
func (e *LossError) Error() string {
	return "the store has lost data: " + e.What +
		" (restore a backup, or start with --accept-loss to go on with what is left; look for disk errors first)"
}

// history is what the commit records of a database tell.
type history struct {
	newest  chain
	missing uint64 // records in the window
	heads   map[uint64][sha256.Size]byte
}

// readHistory reads the commit records.
func readHistory(db *badger.DB) (h history, err error) {
	h.heads = map[uint64][sha256.Size]byte{}
	err = eachKey(db, commitSpace, func(_, value []byte) error {
		if len(value) != 8+sha256.Size {
			return fmt.Errorf("damaged commit record: %x", value)
		}
		seq := binary.BigEndian.Uint64(value)
		h.heads[seq] = [sha256.Size]byte(value[8:])
		if seq > h.newest.seq {
			h.newest = chain{seq, h.heads[seq]}
		}
		return nil
	})
	if err != nil {
		return h, err
	}
	if v := db.MaxVersion(); v != h.newest.seq {
		return h, fmt.Errorf("the database is at version %d, its newest commit record at %d: another program has written to it",
			v, h.newest.seq)
	}
	floor := uint64(0)
	if h.newest.seq > window {
		floor = h.newest.seq - window
	}
	err = eachKey(db, floorSpace, func(_, value []byte) error {
		if len(value) != 8 {
			return fmt.Errorf("damaged record of an accepted loss: %x", value)
		}
		floor = max(floor, binary.BigEndian.Uint64(value))
		return nil
	})
	for seq := floor + 1; seq <= h.newest.seq; seq++ {
		if _, ok := h.heads[seq]; !ok {
			h.missing++
		}
	}
	return h, err
}

// loss compares the history with the checkpoint; nil if nothing is missing.
func (h history) loss(noted chain) *LossError {
	if noted.seq > h.newest.seq {
		n := noted.seq - h.newest.seq
		return &LossError{fmt.Sprintf("the checkpoint notes %d commits, the newest %d of them are not there (and %d before them)",
			noted.seq, n, h.missing), n + h.missing}
	}
	if h.missing > 0 {
		return &LossError{fmt.Sprintf("%d of the last %d commits are not there, though later ones are",
			h.missing, min(h.newest.seq, window)), h.missing}
	}
	if head, ok := h.heads[noted.seq]; ok && head != noted.head {
		return &LossError{fmt.Sprintf("commit %d is another one than the checkpoint notes: the files are those of another store, "+
			"or of one that went on from an old copy", noted.seq), 0}
	}
	return nil
}

// acceptLoss commits that what is missing up to now is known.
func (s *Store) acceptLoss() error {
	next := chain{s.chain.seq + 1, sha256.Sum256(s.chain.head[:])}
	txn := s.db.NewTransactionAt(readAll, true)
	err := errors.Join(
		txn.Set([]byte{floorSpace}, binary.BigEndian.AppendUint64(nil, next.seq)),
		txn.Set(next.record()),
		txn.CommitAt(next.seq, nil))
	if err != nil {
		return fmt.Errorf("note the accepted loss: %w", err)
	}
	s.chain = next
	return nil
}

// eachKey calls fn for all keys of one of the store's own spaces.
func eachKey(db *badger.DB, space byte, fn func(key, value []byte) error) error {
	txn := db.NewTransactionAt(readAll, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{space}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if err := item.Value(func(value []byte) error { return fn(item.Key(), value) }); err != nil {
			return err
		}
	}
	return nil
}
