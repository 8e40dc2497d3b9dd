// Package journal is the only write path of the server: ordered facts of incidents and their runs, alarms, tapes and small
// indexes, each appended through one Store whose commits are atomic and durable.
package journal

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is returned by Store.Get for a key that is not there.
var ErrNotFound = errors.New("not found")

// Op is one change of a commit: it puts Value under Key, or removes Key when Delete is set.
type Op struct {
	Key    []byte
	Value  []byte
	Delete bool
}

// Store is the ordered, durable key space that the journal stands on. Keys sort bytewise.
type Store interface {
	// Submit queues ops as one atomic change and calls done, from another goroutine and in the order of submission, once the
	// change is synced to disk or has failed for good. The change may wait until one behind it that may not, or for as long
	// as within, so that both cost one sync. done may be nil. Submit blocks while the bounded queue is full. Ops must not be changed afterwards.
	Submit(ctx context.Context, ops []Op, within time.Duration, done func(error))
	// Get returns a copy of the value under key, or ErrNotFound.
	Get(key []byte) ([]byte, error)
	// Scan calls fn for each key with the prefix, in order (descending when reverse), beginning after the key `after` if that
	// is not nil (before it, when reverse). It stops at fn's first error and returns it; ErrStop ends it without an error.
	// Key and value are valid only during the call.
	Scan(prefix, after []byte, reverse bool, fn func(key, value []byte) error) error
}

// ErrStop, returned by the function that Scan was given, ends the scan; Scan then returns nil.
var ErrStop = errors.New("stop")

// Commit submits ops and waits until they are synced.
func Commit(ctx context.Context, s Store, ops []Op) error {
	done := make(chan error, 1)
	s.Submit(ctx, ops, 0, func(err error) { done <- err })
	return <-done
}
