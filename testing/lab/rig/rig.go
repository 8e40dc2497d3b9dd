// Package rig holds what every server of the lab shares: the faults that a test arms, the control page that arms them over
// HTTP, a bounded log of what was seen, a TCP and an HTTP listener that leave no goroutine behind, and a certificate.
package rig

import (
	"context"
	"sync"
	"time"
)

// AnyPort is the address that a lab server listens on when its options name none.
const AnyPort = "127.0.0.1:0"

// Sleep waits for d, or less if ctx ends first; it returns ctx's error then.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Milliseconds is the delay_ms of a fault as a duration.
func Milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// Faults are the armed faults of one server, in the order in which they were armed. The zero value is ready.
type Faults[F any] struct {
	mu    sync.Mutex
	armed []*Armed[F]
}

// Armed is a fault that waits for its match.
type Armed[F any] struct {
	Fault F `json:"fault"`
	// Left says how often it will still happen; -1 means until it is cleared.
	Left int `json:"left"`
	// Hits says how often it happened.
	Hits int `json:"hits"`
}

// Add arms f for the given number of times; 0 means until Clear.
func (p *Faults[F]) Add(f F, times int) {
	if times <= 0 {
		times = -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = append(p.armed, &Armed[F]{Fault: f, Left: times})
}

// Take gives the oldest armed fault that match accepts, and counts it.
func (p *Faults[F]) Take(match func(F) bool) (f F, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.armed {
		if a.Left == 0 || !match(a.Fault) {
			continue
		}
		if a.Left > 0 {
			a.Left--
		}
		a.Hits++
		return a.Fault, true
	}
	return f, false
}

// Clear disarms everything.
func (p *Faults[F]) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = nil
}

// List gives a copy of what is armed, spent faults included.
func (p *Faults[F]) List() []Armed[F] {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Armed[F], len(p.armed))
	for i, a := range p.armed {
		out[i] = *a
	}
	return out
}

// DefaultKeep is how many entries a Log keeps when nothing else is said.
const DefaultKeep = 10_000

// Log keeps the newest entries of what a server saw, and counts all. The zero value keeps DefaultKeep entries.
type Log[T any] struct {
	mu      sync.Mutex
	keep    int
	entries []T
	first   int // index of the oldest entry, once the log is full
	total   int
	changed chan struct{}
}

// Keep sets how many entries are kept; 0 means DefaultKeep. Call it before the first Add.
func (l *Log[T]) Keep(n int) { l.keep = n }

// Add appends v and forgets the oldest entry when the log is full.
func (l *Log[T]) Add(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keep <= 0 {
		l.keep = DefaultKeep
	}
	l.total++
	if len(l.entries) < l.keep {
		l.entries = append(l.entries, v)
	} else {
		l.entries[l.first] = v
		l.first = (l.first + 1) % l.keep
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// All gives the kept entries, oldest first.
func (l *Log[T]) All() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]T, 0, len(l.entries))
	return append(append(out, l.entries[l.first:]...), l.entries[:l.first]...)
}

// Total says how many entries were ever added since the last Reset.
func (l *Log[T]) Total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Wait returns as soon as at least n entries were added, or with ctx's error.
func (l *Log[T]) Wait(ctx context.Context, n int) error {
	for {
		l.mu.Lock()
		if l.total >= n {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Reset forgets everything.
func (l *Log[T]) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.first, l.total = nil, 0, 0
}
