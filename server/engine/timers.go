package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// timers wake incidents when something of theirs is due. Nothing is stored: what is due follows from the state of each incident.
type timers struct {
	now  func() time.Time
	fire func(incident string)
	wake chan struct{}
	mu   sync.Mutex
	heap timerHeap
	at   map[string]time.Time // the earliest time set for an incident
}

type timer struct {
	at       time.Time
	incident string
}

func newTimers(now func() time.Time, fire func(string)) *timers {
	return &timers{now: now, fire: fire, wake: make(chan struct{}, 1), at: map[string]time.Time{}}
}

// set asks to fire for the incident at a time, or earlier if that is set already.
func (t *timers) set(incident string, at time.Time) {
	t.mu.Lock()
	if old, ok := t.at[incident]; ok && !at.Before(old) {
		t.mu.Unlock()
		return
	}
	t.at[incident] = at
	heap.Push(&t.heap, timer{at, incident})
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *timers) run(ctx context.Context) {
	clock := time.NewTimer(longest)
	defer clock.Stop()
	for {
		due, next := t.take()
		for _, incident := range due {
			t.fire(incident)
		}
		clock.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-clock.C:
		}
	}
}

// take removes what is due and says how long it is until the next.
func (t *timers) take() (due []string, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for len(t.heap) > 0 {
		first := t.heap[0]
		if first.at.After(now) {
			return due, min(first.at.Sub(now), longest)
		}
		heap.Pop(&t.heap)
		if at, ok := t.at[first.incident]; ok && at.Equal(first.at) {
			delete(t.at, first.incident)
			due = append(due, first.incident)
		}
	}
	return due, longest
}

// longest bounds a sleep: the clock of the wall may be set, or go on while the machine is suspended.
const longest = time.Minute

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
