package badgerstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

const (
	chunkSize = 256 << 10 // a longer value is stored in chunks of this size
	minLarge  = 4 << 10   // a shorter value is never stored apart

	metaLarge = 1 // marks a user key whose stored value is an encoded largeRef
)

// largeRef is what is stored under the caller's key instead of a large value.
//
// A large value does not fit into one transaction. Its chunks are committed first, under a random id whose record names no
// key; the transaction of the request itself then names the key in the record and puts the reference under the key, so that
// the value appears whole or not at all. A record without a key is rubbish, and so are its chunks: the janitor removes them.
type largeRef struct {
	id   largeID
	size int
}

func (l largeRef) chunks() int { return (l.size + chunkSize - 1) / chunkSize }

func (l largeRef) encode() []byte {
	return binary.AppendUvarint([]byte(l.id), uint64(l.size))
}

// record is the write that says which key has the value; nil for none.
func (l largeRef) record(key []byte) write {
	return write{key: recordKey(l.id), value: append(binary.AppendUvarint(nil, uint64(l.size)), key...)}
}

func decodeRef(b []byte) (largeRef, error) {
	if len(b) > idSize {
		if size, n := binary.Uvarint(b[idSize:]); n == len(b)-idSize && size <= maxValue {
			return largeRef{largeID(b[:idSize]), int(size)}, nil
		}
	}
	return largeRef{}, abi.NewFault(abi.Internal, fmt.Sprintf("damaged reference to a large value: %x", b), "restore a backup")
}

// split turns ops into stored writes. What must be committed before, in requests of its own, is returned as parts, together
// with the references to it: the values longer than a chunk and, if the rest would not fit into maxBytes, shorter ones.
func split(ops []journal.Op, maxBytes int) (writes []write, parts []*request, refs []largeRef) {
	limit, keyBytes := chunkSize, 0
	for limit > minLarge && inlineBytes(ops, limit) > maxBytes {
		limit /= 4
	}
	for _, op := range ops {
		keyBytes += 1 + len(op.Key)
	}
	keys := make([]byte, 0, keyBytes)
	writes = make([]write, 0, len(ops))
	for _, op := range ops {
		from := len(keys)
		keys = append(append(keys, userSpace), op.Key...)
		w := write{key: keys[from:len(keys):len(keys)], value: op.Value, remove: op.Delete}
		if op.Delete {
			w.value = nil
		} else if len(op.Value) > limit {
			ref := newRef(len(op.Value))
			refs = append(refs, ref)
			parts = append(parts, ref.parts(op.Value)...)
			writes = append(writes, ref.record(w.key))
			w.value, w.meta = ref.encode(), metaLarge
		}
		writes = append(writes, w)
	}
	return writes, parts, refs
}

// inlineBytes is what ops take in a transaction when the values longer than limit are stored apart.
func inlineBytes(ops []journal.Op, limit int) (n int) {
	for _, op := range ops {
		n += 1 + len(op.Key) + entryOverhead
		if len(op.Value) <= limit {
			n += len(op.Value)
		} else {
			n += 2*entryOverhead + 3*idSize + len(op.Key)
		}
	}
	return n
}

func newRef(size int) largeRef {
	id := make([]byte, idSize)
	rand.Read(id) // never fails
	return largeRef{largeID(id), size}
}

// parts are the requests that store the value's chunks, one each, so that others' requests can go in between.
func (l largeRef) parts(value []byte) (parts []*request) {
	for n := range l.chunks() {
		size := min(chunkSize, len(value))
		r := &request{writes: []write{{key: chunkKey(l.id, n), value: value[:size]}}}
		if n == 0 {
			r.writes = append(r.writes, l.record(nil))
		}
		parts = append(parts, r)
		value = value[size:]
	}
	return parts
}

// readLarge assembles the value that item refers to.
func readLarge(txn *badger.Txn, item *badger.Item) (value []byte, err error) {
	var ref largeRef
	if err := item.Value(func(b []byte) (err error) { ref, err = decodeRef(b); return err }); err != nil {
		return nil, err
	}
	value = make([]byte, 0, ref.size)
	for n := range ref.chunks() {
		chunk, err := txn.Get(chunkKey(ref.id, n))
		if err == nil {
			err = chunk.Value(func(b []byte) error { value = append(value, b...); return nil })
		}
		if err != nil {
			return nil, fmt.Errorf("chunk %d of %d of the value under %q: %w", n+1, ref.chunks(), item.Key()[1:], err)
		}
	}
	if len(value) != ref.size {
		return nil, abi.NewFault(abi.Internal, fmt.Sprintf("the value under %q has %d bytes instead of %d",
			item.Key()[1:], len(value), ref.size), "restore a backup")
	}
	return value, nil
}

// largeValues knows which stored keys have a large value, so that replacing one can be seen without a read. It belongs to the
// committer.
type largeValues struct {
	byKey map[string]largeRef
}

// load reads the records, and returns those that name no key.
func (l *largeValues) load(db *badger.DB) (rubbish []largeRef, err error) {
	l.byKey = map[string]largeRef{}
	err = eachKey(db, largeSpace, func(key, value []byte) error {
		size, n := binary.Uvarint(value)
		if n <= 0 || size > maxValue || len(key) != 1+idSize {
			return abi.NewFault(abi.Internal, fmt.Sprintf("damaged record of a large value: %x, %x", key, value), "restore a backup")
		}
		ref := largeRef{largeID(key[1:]), int(size)}
		if len(value) == n {
			rubbish = append(rubbish, ref)
		} else {
			l.byKey[string(value[n:])] = ref
		}
		return nil
	})
	return rubbish, err
}

// replace notes the write, and returns the large value whose place it takes.
func (l *largeValues) replace(w write) (old largeRef, replaced bool, err error) {
	if w.meta != metaLarge && len(l.byKey) == 0 || w.key[0] != userSpace {
		return old, false, nil
	}
	old, replaced = l.byKey[string(w.key)]
	if w.meta == metaLarge {
		ref, err := decodeRef(w.value)
		if err != nil {
			return old, false, err
		}
		l.byKey[string(w.key)] = ref
	} else if replaced {
		delete(l.byKey, string(w.key))
	}
	return old, replaced, nil
}

// janitor removes chunks that belong to no key. What it does not manage to remove is found again by the next Open.
type janitor struct {
	mu      sync.Mutex
	rubbish []largeRef
	wake    chan struct{}
	cancel  context.CancelFunc
	done    chan struct{}
}

func (j *janitor) add(refs ...largeRef) {
	if len(refs) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rubbish = append(j.rubbish, refs...)
	notify(j.wake)
}

func (j *janitor) start(s *Store) {
	ctx, cancel := context.WithCancel(context.Background())
	j.cancel, j.done = cancel, make(chan struct{})
	go func() {
		defer close(j.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-j.wake:
			}
			j.mu.Lock()
			refs := j.rubbish
			j.rubbish = nil
			j.mu.Unlock()
			for _, ref := range refs {
				if s.enqueue(ctx, ref.removal(s.opts.Log)) != nil {
					return
				}
			}
		}
	}()
}

// removal is the request that removes the value's chunks and its record.
func (l largeRef) removal(log *slog.Logger) *request {
	r := &request{done: func(err error) {
		if err != nil {
			log.Warn("chunks of a removed value stay until the next start", "error", err)
		}
	}}
	for n := range l.chunks() {
		r.writes = append(r.writes, write{key: chunkKey(l.id, n), remove: true})
	}
	r.writes = append(r.writes, write{key: recordKey(l.id), remove: true})
	r.seal()
	return r
}

func (j *janitor) stop() {
	j.cancel()
	<-j.done
}
