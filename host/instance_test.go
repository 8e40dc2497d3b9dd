package host

import (
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
)

// TestPoolGivesBackWhatIsNotNeeded: after a busy time, those instances go that a quiet time does not need, while the module is used all along.
func TestPoolGivesBackWhatIsNotNeeded(t *testing.T) {
	ctx := t.Context()
	e, err := newEngine(Options{CacheDir: t.TempDir(), Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	code, err := e.compile(ctx, []byte("\x00asm\x01\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	p := pool{least: 2}
	now := time.Unix(0, 0)
	// calls lets so many guests at a time have an instance each, and gives the instances.
	calls := func(flight int) []*instance {
		now = now.Add(time.Second)
		var used []*instance
		for range flight {
			i := p.take()
			if i == nil {
				if i, err = e.newInstance(ctx, code, e.newGuest(task{bundle: &bundle.Bundle{}}), &image{}); err != nil {
					t.Fatal(err)
				}
			}
			used = append(used, i)
		}
		for _, i := range used {
			if !p.put(i, now) {
				t.Error("an instance was not kept")
			}
		}
		return used
	}
	busy := calls(16)
	// Two are kept beside those that are in use when the pool looks.
	for _, step := range []struct{ flight, seconds, left int }{{16, 20, 16}, {5, 4, 16}, {5, 12, 6}, {1, 20, 2}, {3, 1, 3}} {
		for range step.seconds {
			calls(step.flight)
		}
		if len(p.free) != step.left {
			t.Errorf("after %d seconds with %d at a time: %d instances, %d are expected", step.seconds, step.flight, len(p.free), step.left)
		}
	}
	open := 0
	for _, i := range busy {
		if !i.module.IsClosed() {
			open++
		}
	}
	if open > len(p.free) {
		t.Errorf("%d of the first instances are open, %d are kept", open, len(p.free))
	}
	p.drain()
	if p.bytes != 0 {
		t.Errorf("%d bytes are held by none", p.bytes)
	}
}
