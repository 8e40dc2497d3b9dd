package engine

import (
	"context"
	"sync"
	"time"
)

// restless is how long a goroutine of the crew waits for its next function.
const restless = 10 * time.Second

// crew runs functions on goroutines that are used again: what an invocation calls is deep, and a new goroutine's stack would have to grow to it
// every time. No function waits for another.
type crew struct {
	sync.WaitGroup
	next chan func() // taken by one that is idle
}

// Do runs f, once the context is done too. An idle goroutine leaves then.
func (c *crew) Do(ctx context.Context, f func()) {
	select {
	case c.next <- f:
		return
	default:
	}
	c.Go(func() {
		rest := time.NewTimer(restless)
		defer rest.Stop()
		for {
			f()
			rest.Reset(restless)
			select {
			case f = <-c.next:
			case <-ctx.Done():
				return
			case <-rest.C:
				return
			}
		}
	})
}
