package badgerstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

var errClosed = abi.NewFault(abi.Unavailable, "the store is closed", "the server is stopping")

// write is one key of a transaction, with its key as stored (see keys.go).
type write struct {
	key, value []byte
	meta       byte
	remove     bool
}

// request is one atomic change on its way to the committer.
type request struct {
	writes []write
	digest [sha256.Size]byte // of the writes
	due    time.Time         // when it must be on its way; zero for at once
	bytes  int               // charged to a transaction
	room   int64             // taken of the queue
	err    error             // known before: the request is only answered, in its turn
	parts  []*request        // submitted before; if one of them failed, so does this
	refs   []largeRef        // to the values in the parts
	done   func(error)
}

// Submit queues ops as journal.Store says. A request that no transaction could hold is refused with a fault of kind
// too_large; when the disk is nearly full or the store has failed, the kind is unavailable. The done function is called from
// one goroutine for all requests: it must be quick, and it may call Submit.
func (s *Store) Submit(ctx context.Context, ops []journal.Op, within time.Duration, done func(error)) {
	r := &request{done: done}
	if within > 0 {
		r.due = time.Now().Add(within)
	}
	if r.err = checkOps(ops); r.err == nil {
		r.writes, r.parts, r.refs = split(ops, s.maxBytes)
		r.seal()
		if r.bytes > s.maxBytes || len(r.writes)*2 > s.maxCount {
			r.err = abi.NewFault(abi.TooLarge, fmt.Sprintf("one commit of %d keys and %d bytes; at most %d keys and %d bytes fit",
				len(r.writes), r.bytes, s.maxCount/2, s.maxBytes), "divide it into several commits")
		}
	}
	if r.err != nil {
		r.writes, r.bytes, r.parts, r.refs = nil, 0, nil, nil
	}
	for _, part := range r.parts {
		part.seal()
		if r.err = s.enqueue(ctx, part); r.err != nil {
			break
		}
	}
	err := s.enqueue(ctx, r)
	if err == nil {
		return
	}
	// It is answered in its turn all the same: nobody hears of a refusal before he hears what became of his earlier requests.
	r.err, r.due, r.room, r.writes, r.parts = cmp.Or(r.err, err), time.Time{}, 0, nil, nil
	if !s.queue.put(r) {
		s.janitor.add(r.refs...)
		go done(r.err)
	}
}

// checkOps refuses keys and values that cannot be stored.
func checkOps(ops []journal.Op) error {
	for _, op := range ops {
		if len(op.Key) > maxKey {
			return abi.NewFault(abi.TooLarge, fmt.Sprintf("a key of %d bytes; at most %d are allowed", len(op.Key), maxKey), "")
		}
		if len(op.Value) > maxValue {
			return abi.NewFault(abi.TooLarge,
				fmt.Sprintf("a value of %d bytes; at most %d are allowed", len(op.Value), maxValue), "divide it over several keys")
		}
	}
	return nil
}

// seal computes size and digest of the writes.
func (r *request) seal() {
	h := sha256.New()
	head := make([]byte, 0, 1+binary.MaxVarintLen64)
	for _, w := range r.writes {
		r.bytes += len(w.key) + len(w.value) + entryOverhead
		kind := w.meta
		if w.remove {
			kind = 0xff
		}
		h.Write(binary.AppendUvarint(append(head, kind), uint64(len(w.key))))
		h.Write(w.key)
		h.Write(binary.AppendUvarint(head, uint64(len(w.value))))
		h.Write(w.value)
	}
	h.Sum(r.digest[:0])
}

// enqueue hands r to the committer once there is room.
func (s *Store) enqueue(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.room = min(max(int64(r.bytes), queueBytes/queueRequests), queueBytes)
	if err := s.room.Acquire(ctx, r.room); err != nil {
		return err
	}
	if !s.queue.put(r) {
		s.room.Release(r.room)
		return errClosed
	}
	return nil
}

// queue holds the requests that wait for the committer.
type queue struct {
	mu      sync.Mutex
	waiting []*request
	closed  bool
	wake    chan struct{}
}

func (q *queue) put(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, r)
	notify(q.wake)
	return true
}

// take removes what fits into one transaction: nothing if nobody waits, or all of them may wait until due. It tells whether more may come.
func (q *queue) take(maxBytes, maxCount int) (batch []*request, due time.Time, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes, count := 0, 0, 0
	for i, r := range q.waiting {
		if i == 0 || r.due.Before(due) {
			due = r.due
		}
		bytes += r.bytes
		count += 2 * len(r.writes) // each may also retire a large value
		if n == batchRequests || n > 0 && (bytes > maxBytes || count > maxCount) {
			break
		}
		n++
	}
	if n == len(q.waiting) && !q.closed && time.Until(due) > 0 {
		n = 0
	}
	batch = q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return batch, due, !q.closed || len(q.waiting) > 0
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	notify(q.wake)
}

// notify wakes the one reader of a channel of capacity one.
func notify(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// commitLoop is the committer: while one transaction is being synced, the next one's requests gather.
func (s *Store) commitLoop() {
	defer s.outcomes.close()
	patience := time.NewTimer(0)
	defer patience.Stop()
	for {
		batch, due, open := s.queue.take(s.maxBytes, s.maxCount)
		if len(batch) == 0 {
			if !open {
				return
			}
			if !due.IsZero() {
				patience.Reset(time.Until(due))
			}
			select {
			case <-s.queue.wake:
			case <-patience.C: // once too often does no harm
			}
			continue
		}
		for _, r := range batch {
			for _, part := range r.parts {
				r.err = cmp.Or(r.err, part.err)
			}
		}
		err := s.commit(batch)
		var room int64
		for _, r := range batch {
			room += r.room
			if r.err == nil {
				r.err = err
			}
			if r.err != nil {
				s.janitor.add(r.refs...)
			}
			r.writes, r.parts = nil, nil
		}
		s.room.Release(room)
		s.outcomes.put(batch)
		s.lookAfter(ownCommits)
	}
}

// commit writes the batch as one synced transaction and makes it visible.
func (s *Store) commit(batch []*request) error {
	if f := s.failed.Load(); f != nil {
		return f
	}
	if err := s.writable(); err != nil {
		return err
	}
	next, txn, retired, err := s.prepare(batch)
	if err == nil && txn != nil {
		if err = txn.CommitAt(next.seq, nil); err == nil {
			err = s.wal.sync()
		}
	}
	if txn == nil {
		return err
	}
	if err == nil {
		err = s.checkpoint.write(next)
	}
	if err != nil {
		s.fail(fmt.Errorf("commit %d: %w", next.seq, err))
		return s.failed.Load()
	}
	s.chain = next
	s.db.SetDiscardTs(s.snapshots.advance(next.seq))
	s.janitor.add(retired...)
	return nil
}

// prepare builds the transaction, nil if no request of the batch changes anything.
func (s *Store) prepare(batch []*request) (next chain, txn *badger.Txn, retired []largeRef, err error) {
	next = chain{seq: s.chain.seq + 1}
	sum := sha256.New()
	sum.Write(s.chain.head[:])
	txn = s.db.NewTransactionAt(readAll, true)
	empty := true
	for _, r := range batch {
		if r.err != nil || len(r.writes) == 0 {
			continue
		}
		empty = false
		sum.Write(r.digest[:])
		for _, w := range r.writes {
			old, replaced, err := s.put(txn, w)
			if err != nil {
				return next, txn, nil, err
			}
			if replaced {
				retired = append(retired, old)
			}
		}
	}
	if empty {
		txn.Discard()
		return next, nil, nil, nil
	}
	sum.Sum(next.head[:0])
	return next, txn, retired, txn.Set(next.record())
}

// put adds w to the transaction. If it replaces a large value, that one's record no longer names a key.
func (s *Store) put(txn *badger.Txn, w write) (old largeRef, replaced bool, err error) {
	if old, replaced, err = s.large.replace(w); err != nil {
		return old, false, err
	}
	if replaced {
		nobodys := old.record(nil)
		err = txn.Set(nobodys.key, nobodys.value)
	}
	switch {
	case err != nil:
	case w.remove:
		err = txn.Delete(w.key)
	default:
		err = txn.SetEntry(badger.NewEntry(w.key, w.value).WithMeta(w.meta))
	}
	return old, replaced, err
}

// outcomes calls the done functions, so that none of them can hold up the committer.
type outcomes struct {
	mu      sync.Mutex
	waiting []*request
	closed  bool
	wake    chan struct{}
}

func (o *outcomes) put(batch []*request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, batch...)
	notify(o.wake)
}

func (o *outcomes) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	notify(o.wake)
}

func (o *outcomes) deliver() {
	for range o.wake {
		o.mu.Lock()
		batch, closed := o.waiting, o.closed
		o.waiting = nil
		o.mu.Unlock()
		for _, r := range batch {
			if r.done != nil {
				r.done(r.err)
			}
		}
		if closed {
			return
		}
	}
}
