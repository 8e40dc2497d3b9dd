package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Space says how much room the disk has left. The database maps its logs into memory: on a full disk it would not get an
// error but die, and could not be opened again.
type Space int

// The states of the disk.
const (
	Normal   Space = iota
	Low            // no new alarms should be taken in; what is under way may end
	ReadOnly       // Submit refuses everything
)

// String names the state.
func (s Space) String() string { return [...]string{"normal", "low", "read-only"}[s] }

// sight is what was seen of the disk, and when.
type sight struct {
	at    time.Time
	free  uint64
	state Space
}

// How long a sight is good for: each alarm and each commit asks, and to look takes a lone alarm longer than its parsing does. Others do not fill a disk so
// fast that it would matter; the store itself looks again behind its commits.
const (
	sightTime  = 100 * time.Millisecond
	ownCommits = 5 * time.Millisecond
)

// Space returns the free bytes of the store's file system and what they mean, as they were at most 100 ms ago.
func (s *Store) Space() (free uint64, state Space) {
	sight := s.lookAfter(sightTime)
	return sight.free, sight.state
}

// lookAfter gives what was last seen of the disk, or looks if that is longer ago.
func (s *Store) lookAfter(ago time.Duration) *sight {
	now := time.Now()
	if last := s.seen.Load(); last != nil && now.Sub(last.at) < ago {
		return last
	}
	seen := &sight{at: now}
	var err error
	seen.free, err = freeSpace(s.dir)
	switch {
	case err != nil || seen.free < s.opts.ReadOnlyBelow:
		seen.state = ReadOnly
	case seen.free < s.opts.LowBelow:
		seen.state = Low
	}
	s.seen.Store(seen)
	return seen
}

// writable refuses a commit for which the disk has no room.
func (s *Store) writable() error {
	if free, state := s.Space(); state == ReadOnly {
		return abi.NewFault(abi.Unavailable,
			fmt.Sprintf("the disk of %s has %d MiB left, the store needs %d MiB to write safely", s.dir, free>>20, s.opts.ReadOnlyBelow>>20),
			"free some space on that disk, or enlarge it; the store then goes on by itself")
	}
	return nil
}

// minSpace is what the database may need, in bytes, to open or to close: it then writes out its logs as tables.
const minSpace = 32 << 20

// makeRoom keeps the ballast: it is given back when there is hardly room to open or close the database, and allocated again
// when there is plenty. It fails if there is not enough room even so.
func (s *Store) makeRoom() error {
	free, err := freeSpace(s.dir)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, "ballast")
	if free < s.opts.ReadOnlyBelow || s.opts.Ballast < 0 {
		if err := os.Remove(path); err == nil && s.opts.Ballast > 0 {
			s.opts.Log.Warn("the disk is full: the ballast was given back", "path", path, "free", free)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if free, err = freeSpace(s.dir); err == nil && free < minSpace {
			return abi.NewFault(abi.Unavailable, fmt.Sprintf("the disk of %s has %d MiB left, the database needs %d MiB to open or close",
				s.dir, free>>20, minSpace>>20), "free some space on that disk; nothing is lost")
		}
		return err
	}
	if info, err := os.Stat(path); err == nil && info.Size() == s.opts.Ballast || free < s.opts.LowBelow+uint64(s.opts.Ballast) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := allocate(f, s.opts.Ballast); err != nil {
		s.opts.Log.Warn("no ballast: the store may be unable to start when the disk is full", "path", path, "error", err)
	}
	return f.Close()
}
