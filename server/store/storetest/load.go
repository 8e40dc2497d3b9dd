package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/journal"
)

// atomicity has writers that keep two sides equal, and readers that must never see them differ.
func atomicity(t *testing.T, b *bench) {
	var writers, readers sync.WaitGroup
	var stop atomic.Bool
	for w := range 4 {
		writers.Go(func() {
			for i := range 200 {
				value := fmt.Appendf(nil, "%d", i)
				ops := []journal.Op{put(fmt.Sprintf("pair/%d/a", w), value), put(fmt.Sprintf("pair/%d/b", w), value)}
				if i%7 == 6 {
					ops[0], ops[1] = remove(string(ops[0].Key)), remove(string(ops[1].Key))
				}
				if err := journal.Commit(t.Context(), b, ops); err != nil {
					t.Errorf("commit: %v", err)
				}
			}
		})
	}
	for r := range 2 {
		readers.Go(func() {
			for !stop.Load() {
				sides := map[string]string{}
				err := b.Scan([]byte("pair/"), nil, r == 1, func(key, value []byte) error {
					sides[string(key)] = string(value)
					return nil
				})
				for w := range 4 {
					left, right := sides[fmt.Sprintf("pair/%d/a", w)], sides[fmt.Sprintf("pair/%d/b", w)]
					if err != nil || left != right {
						t.Errorf("a commit is seen in part: %q and %q, %v", left, right, err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}

func order(t *testing.T, b *bench) {
	const n = 3000
	got := make(chan int, n)
	var mu sync.Mutex // held during Submit: done must come from another goroutine
	for i := range n {
		mu.Lock()
		b.Submit(t.Context(), []journal.Op{put(fmt.Sprintf("%06d", i), nil)}, time.Duration(i%3)*time.Millisecond, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
			if _, err := b.Get(fmt.Appendf(nil, "%06d", i)); err != nil {
				t.Errorf("commit %d is done but not there: %v", i, err)
			}
			got <- i
		})
		mu.Unlock()
	}
	for i := range n {
		if j := <-got; j != i {
			t.Fatalf("done of commit %d was called as number %d", j, i)
		}
	}
}

// A request that is refused at once, since its context has ended, is answered after those before it too: who hears of a refusal takes what he
// submitted later for lost, and what he submitted earlier for stored.
func refusedInOrder(t *testing.T, b *bench) {
	const n = 2000
	type answer struct {
		at  int
		err error
	}
	got := make(chan answer, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range n {
		if i == n/2 {
			cancel()
		}
		b.Submit(ctx, []journal.Op{put(fmt.Sprintf("%06d", i), make([]byte, 512))}, time.Duration(i%2)*time.Minute, func(err error) { got <- answer{i, err} })
	}
	for i := range n {
		a := <-got
		if a.at != i {
			t.Fatalf("done of commit %d was called as number %d", a.at, i)
		}
		if refused := a.err != nil; refused != (i >= n/2) {
			t.Fatalf("commit %d: %v", i, a.err)
		}
	}
}

// A change that may wait goes with one that may not; alone it goes in time, or when the store is closed.
func patient(t *testing.T, b *bench) {
	done := make(chan error)
	note := func(err error) { done <- err }
	submit := func(key string, within time.Duration) {
		b.Submit(t.Context(), []journal.Op{put(key, nil)}, within, note)
	}
	wait := func(n int) {
		for range n {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	submit("a", time.Hour)
	submit("b", time.Hour)
	submit("c", 0)
	wait(3)
	submit("d", time.Hour)
	submit("e", time.Hour)
	submit("f", time.Millisecond)
	wait(3)
	b.Submit(t.Context(), []journal.Op{put("g", nil)}, time.Hour, nil)
	if !b.close() {
		return
	}
	b.Store = b.open()
	if got := len(b.keys(nil, nil, false)); got != 7 {
		t.Errorf("%d keys, want 7", got)
	}
}

func nested(t *testing.T, b *bench) {
	finished := make(chan error)
	var next func(i int, err error)
	next = func(i int, err error) {
		if err != nil || i == 500 {
			finished <- err
			return
		}
		b.Submit(t.Context(), []journal.Op{put(fmt.Sprintf("nested/%d", i), nil)}, 0, func(err error) { next(i+1, err) })
	}
	for w := range 3 {
		go next(w, nil)
	}
	for range 3 {
		if err := <-finished; err != nil {
			t.Error(err)
		}
	}
	if n := len(b.keys([]byte("nested/"), nil, false)); n != 500 {
		t.Errorf("%d keys, want 500", n)
	}
}

func concurrentWriters(t *testing.T, b *bench) {
	const writers, each = 32, 100
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				key := fmt.Sprintf("%d/%d", w, i)
				if err := journal.Commit(t.Context(), b, []journal.Op{put(key, []byte(key))}); err != nil {
					t.Errorf("commit: %v", err)
				}
				b.want(key, []byte(key))
			}
		})
	}
	wg.Wait()
	if n := len(b.keys(nil, nil, false)); n != writers*each {
		t.Errorf("%d keys, want %d", n, writers*each)
	}
}

// bounded submits far more than the store may hold, without ever waiting for an answer.
func bounded(t *testing.T, b *bench) {
	const n, size, most = 600, 256 << 10, 64 << 20
	var waiting, peak atomic.Int64
	var answers sync.WaitGroup
	value := make([]byte, size)
	for i := range n {
		answers.Add(1)
		b.Submit(t.Context(), []journal.Op{put(fmt.Sprintf("%d", i%4), value)}, 0, func(err error) {
			waiting.Add(-size)
			if err != nil {
				t.Errorf("commit: %v", err)
			}
			answers.Done()
		})
		peak.Store(max(peak.Load(), waiting.Add(size)))
	}
	answers.Wait()
	if peak.Load() > most {
		t.Errorf("%d MiB were taken in before they were answered; the queue must block at %d MiB", peak.Load()>>20, most>>20)
	}
}

// cancelled cancels writers in the midst of a flood: each submit is answered once, and applied or not as the answer says.
func cancelled(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const writers, each = 16, 200
	type answer struct {
		key string
		err error
	}
	answers := make(chan answer, writers*each*2)
	value := make([]byte, 8<<10)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if w == 0 && i == each/4 {
					cancel()
				}
				key := fmt.Sprintf("%d/%d", w, i)
				b.Submit(ctx, []journal.Op{put(key, value)}, 0, func(err error) { answers <- answer{key, err} })
			}
		})
	}
	wg.Wait()
	refused := 0
	for range writers * each {
		switch a := <-answers; {
		case a.err == nil:
			b.want(a.key, value)
		case errors.Is(a.err, context.Canceled):
			b.want(a.key, nil)
			refused++
		default:
			t.Errorf("submit of %q: %v", a.key, a.err)
		}
	}
	if refused == 0 {
		t.Error("no submit was refused after the cancellation")
	}
	b.commit(put("after", value))
	if len(answers) > 0 {
		t.Errorf("%d submits were answered twice", len(answers))
	}
}
