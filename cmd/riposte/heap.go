package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much may be allocated between two collections, in percent of the heap that lives. A server beside others takes a third less memory with the quiet
// share, for a little more work (testing/bench). At work, when collections follow each other within a second, it may take more, as far as the
// heap stays below a size that it does not have to have: it collects half as often then.
const (
	quietShare = 50
	busyShare  = 100
	busyHeap   = 136 << 20 // bytes
	busyPause  = time.Second
)

// heapShare is the share after a collection that came so long after the one before, and left so many bytes.
func heapShare(pause time.Duration, live uint64) int {
	if pause > busyPause || live >= busyHeap {
		return quietShare
	}
	const step = 10 // each change stops the program for a moment
	return max(quietShare, min(busyShare, int((busyHeap-live)*100/max(live, 1))/step*step))
}

// pacer sets the share after each collection.
type pacer struct {
	last  time.Time
	share int
}

// watch has the next collection noticed.
func (p *pacer) watch() { runtime.AddCleanup(&struct{ *pacer }{p}, (*pacer).collected, p) }

func (p *pacer) collected() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	now := time.Now()
	if share := heapShare(now.Sub(p.last), live[0].Value.Uint64()); share != p.share {
		p.share = share
		debug.SetGCPercent(share)
	}
	p.last = now
	p.watch()
}
