package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// maxTogether is how many bytes of a tape are stored under one key, unless an entry is longer.
const maxTogether = 4 << 10

// storeTape keeps the tape of one invocation in the store. An entry that must be durable waits for the commit. Of the others, what is done now is
// on its way at once; the header goes with the first call, and an answer with what follows it soon, or by itself.
type storeTape struct {
	store    journal.Store
	rooms    *sync.Pool
	after    *submission // nothing is stored before
	prefix   []byte
	recorded []tape.Entry

	mu      sync.Mutex
	chain   tape.Chain
	n       uint64      // entries
	waiting *waiting    // those that are not on their way; nil before the first, and when the room for them was given back
	first   uint64      // number of the first of them
	late    *time.Timer // stores them; nil before the first answer
}

// waiting holds entries as a JSON array without its end. Its room serves one tape after the other, so that what is stored is the only copy that is made.
type waiting struct{ list []byte }

// maxRoom bounds what is kept for the next tape, in bytes.
const maxRoom = 64 << 10

// openTape begins the tape of an invocation, or goes on with what an earlier attempt at it left behind. There is none if it is fresh, unless the store has
// refused to take something: that could have been its start, and not its tape.
func (e *Engine) openTape(invocation string, after *submission, fresh bool) (*storeTape, error) {
	t := e.newTape(invocation)
	t.after = after
	if fresh && !e.refused.Load() {
		return t, nil
	}
	if _, err := e.store.Get(t.key(1)); errors.Is(err, journal.ErrNotFound) {
		return t, nil // as a rule; a scan would cost much more
	}
	return t, t.read()
}

func (e *Engine) newTape(invocation string) *storeTape {
	return &storeTape{store: e.store, rooms: &e.tapeRooms, prefix: []byte(prefixTape + invocation + "/")}
}

// key is where entries are stored of which n is the number of the first, counted from one.
func (t *storeTape) key(n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, len(t.prefix)+8), t.prefix...), n)
}

// read reads what is there, and goes on behind it.
func (t *storeTape) read() error {
	return t.store.Scan(t.prefix, nil, false, func(_, value []byte) error {
		var list []storedEntry
		err := json.Unmarshal(value, &list)
		for i := 0; i < len(list) && err == nil; i++ {
			rec := &list[i]
			if _, err = t.chain.Follow(&rec.Entry); err == nil {
				err = rec.Entry.Fetch(rec.blob)
			}
			t.recorded = append(t.recorded, rec.Entry)
			t.n++
		}
		if err != nil {
			return fmt.Errorf("tape %s entry %d: %w", t.prefix[len(prefixTape):], t.n, err)
		}
		return nil
	})
}

// storedEntry is an entry with its blobs.
type storedEntry struct {
	Entry tape.Entry        `json:"entry"`
	Blobs map[string][]byte `json:"blobs,omitempty"`
}

func (r *storedEntry) blob(digest string) ([]byte, error) {
	data, ok := r.Blobs[digest]
	if !ok {
		return nil, fmt.Errorf("the blob %s is missing", digest)
	}
	return data, nil
}

// Append implements tape.Log.
func (t *storeTape) Append(entry tape.Entry, durable bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var blobs []byte
	if len(entry.Blobs) > 0 {
		var err error
		if blobs, err = json.Marshal(entry.Blobs); err != nil {
			return err
		}
	}
	w := t.room()
	before := len(w.list)
	// It is a storedEntry, with the line as it is: the guest must find each byte in a replay as it was.
	list, err := t.chain.Append(append(append(w.list, "[,"[min(before, 1)]), `{"entry":`...), &entry)
	if err != nil {
		return err
	}
	if blobs != nil {
		list = append(append(list, `,"blobs":`...), blobs...)
	}
	w.list = append(list, '}')
	if t.n++; before == 0 {
		t.first = t.n
	}
	switch {
	case durable:
		if err := t.after.wait(); err != nil {
			return err
		}
		return journal.Commit(context.Background(), t.store, t.take())
	case entry.Kind == tape.BeginKind, entry.Kind == tape.OutcomeKind, len(w.list) > maxTogether:
		return t.send()
	case entry.Kind == tape.EndKind && t.late == nil:
		t.late = time.AfterFunc(unwatched, t.flush)
	case entry.Kind == tape.EndKind:
		t.late.Reset(unwatched)
	}
	return nil
}

// room gives the entries that wait, to which one is to be added.
func (t *storeTape) room() *waiting {
	if t.waiting == nil {
		t.waiting, _ = t.rooms.Get().(*waiting)
	}
	if t.waiting == nil {
		t.waiting = &waiting{}
	}
	return t.waiting
}

// take gives what is to be stored.
func (t *storeTape) take() []journal.Op {
	if t.late != nil {
		t.late.Stop() // once too often does no harm
	}
	list := t.waiting.list
	value := append(append(make([]byte, 0, len(list)+1), list...), ']')
	t.waiting.list = list[:0]
	return []journal.Op{{Key: t.key(t.first), Value: value}}
}

func (t *storeTape) send() error {
	if err := t.after.wait(); err != nil {
		return err
	}
	t.store.Submit(context.Background(), t.take(), unwatched, nil) // an error ends the process
	return nil
}

// flush stores what waits, and gives the room for it back.
func (t *storeTape) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.waiting
	if w == nil {
		return
	}
	if len(w.list) > 0 {
		_ = t.send() // what may not be stored is not
	}
	if len(w.list) == 0 && cap(w.list) <= maxRoom {
		t.rooms.Put(w)
		t.waiting = nil
	}
}

// Recorded implements tape.Log.
func (t *storeTape) Recorded() []tape.Entry { return t.recorded }

// Tape reads the tape of an invocation.
func (e *Engine) Tape(invocation string) ([]tape.Entry, error) {
	t := e.newTape(invocation)
	err := t.read()
	if err == nil && len(t.recorded) == 0 {
		err = &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no tape of %q", invocation)}
	}
	if err != nil {
		return nil, err
	}
	return t.recorded, nil
}
