package meter

import (
	"context"
	"errors"
	"time"
)

// Reasons for which a metered guest is stopped, besides the error of its context.
var (
	ErrFuel  = errors.New("the guest has used up its fuel")
	ErrStack = errors.New("the guest has used up its stack")
)

// Slices of a tank, in fuel. A unit takes about a third of a nanosecond in code that computes, but a hundred times as long in code that
// misses every cache, so the size follows the time that the last slices took.
const (
	firstSlice = 1 << 17
	minSlice   = 1 << 13
	maxSlice   = 1 << 22

	sliceTime = 100 * time.Microsecond
)

// Tank is the fuel of one call. It hands it out in slices of about a tenth of a millisecond. The zero value with a Limit is ready to use; a Tank
// serves one guest and is not safe for use by several goroutines.
type Tank struct {
	Limit int64            // fuel that the call may use
	Now   func() time.Time // nil means time.Now

	granted, slice int64
	last           time.Time
}

// Refill answers ImportRefill: it takes the fuel that is left, below zero, and returns what is left after a slice was added. An error,
// ErrFuel or the cause that ended the context, is to be raised as a panic in the host function, which ends the guest.
func (t *Tank) Refill(ctx context.Context, fuel int64) (int64, error) {
	if ctx.Err() != nil {
		return fuel, context.Cause(ctx)
	}
	t.adapt()
	rest := t.Limit - t.granted
	if rest+fuel < 0 {
		return fuel, ErrFuel
	}
	n := min(max(t.slice, -fuel), rest)
	t.granted += n
	return fuel + n, nil
}

// adapt sets the size of the next slice by the time since the last one.
func (t *Tank) adapt() {
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	at := now()
	switch took := at.Sub(t.last); {
	case t.last.IsZero():
		t.slice = firstSlice
	case took > sliceTime+sliceTime/2:
		t.slice = max(t.slice/2, minSlice)
	case took < sliceTime/2:
		t.slice = min(t.slice*2, maxSlice)
	}
	t.last = at
}

// Used is the fuel that the guest has spent, given what its global GlobalFuel says now. A call that was stopped for want of fuel has used
// a little more than its limit.
func (t *Tank) Used(fuel int64) int64 { return t.granted - fuel }
