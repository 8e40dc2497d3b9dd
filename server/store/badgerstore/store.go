// Package badgerstore is the embedded journal.Store: a Badger database behind one committer that packs waiting requests into
// synced transactions, a chain of commit records that shows whether anything acknowledged has gone missing, and a guard that
// stops writing before the disk is full.
//
// A data directory holds:
//
//	badger/     the database
//	checkpoint  the number and chain head of the newest commit, kept apart from the database so that they can disagree
//	lock        locked while a process has the store open; holds that process's id
//	ballast     allocated space that Open gives back when the disk is so full that the database could not be opened
package badgerstore

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sync/semaphore"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Sizes of the database, chosen for little memory. A memory table exists up to three times in a burst (one filling, one waiting,
// one being written out), each as a skip list and as a mapped log; and a transaction may take 15 % of one. The builders of
// tables are kept and used again by the database, up to eight of them: each stays as large as the largest table that it has
// built, which is why both kinds of table are small. They are not smaller since each table, of whatever size, takes 3 MiB for a
// moment when it is built: with 2.5 MiB and 256 KiB that was a third of all allocation. Tables of the first level wait until there are ten, since
// their way to the next one writes that anew: a fifth less work than with five.
const (
	memTableSize  = 4 << 20
	tableSize     = 1 << 20
	firstTables   = 10 // of the first level, when they are made one with the next; at twice as many, writing waits for that
	blockSize     = 8 << 10
	blockCache    = 4 << 20
	valueLogFile  = 1 << 20  // of the value log, which stays empty
	queueBytes    = 8 << 20  // of requests that wait or are being committed
	queueRequests = 4096     // likewise
	batchBytes    = 4 << 20  // of one transaction, if the database permits that much
	batchRequests = 512      // of one transaction
	entryOverhead = 64       // bytes charged for a key in a transaction, beyond key and value
	maxKey        = 8 << 10  // bytes of a key
	maxValue      = 64 << 20 // bytes of a value
	layoutVersion = 2        // of the keys and values of the server; another one is refused by Open
)

// Options configure Open. The zero value is right for a server.
type Options struct {
	// Fatal is called once, with the cause, when a commit has failed: what is on disk is then unknown, and only a restart can
	// tell. If nil, one line goes to stderr and the process exits with status 70. Should Fatal return, the store refuses
	// everything from then on.
	Fatal func(error)
	// Log gets warnings and errors; nil stands for slog.Default().
	Log *slog.Logger
	// Checkpoint is the path of the checkpoint file, by default DIR/checkpoint. On another disk it also tells when the whole
	// data directory was replaced by an older one.
	Checkpoint string
	// AcceptLoss opens a store of which acknowledged commits are missing; Lost then tells how many.
	AcceptLoss bool
	// Ballast is the size in bytes of the reserved file, by default 256 MiB; negative for none.
	Ballast int64
	// LowBelow and ReadOnlyBelow are free bytes: under them Space is Low (default 1 GiB), or ReadOnly (default 512 MiB).
	LowBelow, ReadOnlyBelow uint64
}

func (o Options) withDefaults(dir string) Options {
	if o.Fatal == nil {
		o.Fatal = func(err error) {
			fmt.Fprintf(os.Stderr, "riposte: the store in %s failed and must be restarted: %v\n", dir, err)
			os.Exit(70)
		}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Checkpoint == "" {
		o.Checkpoint = filepath.Join(dir, "checkpoint")
	}
	if o.Ballast == 0 {
		o.Ballast = 256 << 20
	}
	if o.LowBelow == 0 {
		o.LowBelow = 1 << 30
	}
	if o.ReadOnlyBelow == 0 {
		o.ReadOnlyBelow = 512 << 20
	}
	return o
}

// Store is a journal.Store in one directory. Its methods may be called from any goroutine.
type Store struct {
	dir        string
	opts       Options
	db         *badger.DB
	wal        wal
	lock       *os.File
	checkpoint *checkpoint
	lost       uint64
	seen       atomic.Pointer[sight]

	room     *semaphore.Weighted // of the queue, in bytes
	queue    queue
	maxBytes int // of one transaction
	maxCount int // keys of one transaction

	chain     chain // of the committer
	large     largeValues
	snapshots snapshots
	failed    atomic.Pointer[abi.Fault]

	outcomes outcomes
	janitor  janitor
	running  sync.WaitGroup
	close    sync.Once
	closeErr error
}

// Open opens the store in dir, and creates it if it is not there (mode 0700). It refuses, with an error that says what to do,
// a directory that another process has open, and a store that lacks commits which it had acknowledged.
func Open(dir string, opts Options) (_ *Store, err error) {
	opts = opts.withDefaults(dir)
	s := &Store{dir: dir, opts: opts, room: semaphore.NewWeighted(queueBytes)}
	s.queue.wake, s.outcomes.wake, s.janitor.wake = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	data := filepath.Join(dir, "badger")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	for _, d := range []string{dir, data} {
		if err := os.Chmod(d, 0o700); err != nil {
			return nil, fmt.Errorf("protect data directory: %w", err)
		}
	}
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if err := s.makeRoom(); err != nil {
		return nil, err
	}
	if err := settleLogs(data); err != nil {
		return nil, err
	}
	if s.db, err = badger.OpenManaged(badgerOptions(data, opts.Log)); err != nil {
		return nil, fmt.Errorf("open database in %s: %w (restore a backup if its files are damaged)", data, err)
	}
	s.wal.dir = data
	s.maxBytes = min(batchBytes, int(s.db.MaxBatchSize())-(4<<10))
	s.maxCount = int(s.db.MaxBatchCount()) - 64
	if err := s.recover(); err != nil {
		return nil, err
	}
	s.start()
	return s, nil
}

// badgerOptions chooses little memory. What makes a commit durable is wal. All values stay in the tables.
func badgerOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(databaseSyncs).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithLogger(logger{log}).
		WithMemTableSize(memTableSize).
		WithNumMemtables(1).
		WithNumCompactors(2).
		WithNumLevelZeroTables(firstTables).
		WithNumLevelZeroTablesStall(2 * firstTables).
		WithBaseTableSize(tableSize).
		WithBlockSize(blockSize).
		WithBlockCacheSize(blockCache).
		WithIndexCacheSize(0).
		WithCompression(options.Snappy).
		WithValueThreshold(chunkSize + 1<<10).
		WithValueLogFileSize(valueLogFile).
		WithExternalMagic(layoutVersion)
}

// recover brings the store's state back from the database: chain, checkpoint, large values.
func (s *Store) recover() (err error) {
	h, err := readHistory(s.db)
	if err != nil {
		return fmt.Errorf("read commit records: %w", err)
	}
	s.chain = h.newest
	var damaged bool
	if s.checkpoint, damaged, err = openCheckpoint(s.opts.Checkpoint); err != nil {
		return err
	}
	if damaged {
		s.opts.Log.Warn("the checkpoint is damaged and cannot tell whether commits are missing", "path", s.opts.Checkpoint)
	}
	if err := h.loss(s.checkpoint.noted); err != nil {
		if !s.opts.AcceptLoss {
			return err
		}
		s.opts.Log.Error("the store is opened in spite of a loss, as was asked for", "loss", err)
		s.lost = err.Missing
		if err := s.acceptLoss(); err != nil {
			return err
		}
	}
	if err := s.checkpoint.write(s.chain); err != nil {
		return err
	}
	if err := s.checkpoint.sync(); err != nil {
		return err
	}
	s.db.SetDiscardTs(s.chain.seq)
	s.snapshots.start(s.chain.seq)
	rubbish, err := s.large.load(s.db)
	s.janitor.add(rubbish...)
	return err
}

func (s *Store) start() {
	s.janitor.start(s)
	s.running.Go(s.commitLoop)
	s.running.Go(s.outcomes.deliver)
}

// Lost is the number of commits that were missing when the store was opened with AcceptLoss, as far as it can be known.
func (s *Store) Lost() uint64 { return s.lost }

// Close commits what is queued, refuses what comes later, waits for reads to end and closes the store. It must not be called
// from within a Scan or a done function. On a disk so full that the database would die, it is left as it is, which loses
// nothing, and an error says so.
func (s *Store) Close() error {
	s.close.Do(func() {
		s.janitor.stop()
		s.queue.close()
		s.running.Wait()
		s.snapshots.close()
		if s.closeErr = s.makeRoom(); s.closeErr == nil {
			s.closeErr = s.release()
		}
	})
	return s.closeErr
}

// release frees what Open took, in reverse order.
func (s *Store) release() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close(), s.wal.close())
	}
	if s.checkpoint != nil {
		errs = append(errs, s.checkpoint.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// fail makes the store refuse everything, once, and tells the owner.
func (s *Store) fail(err error) {
	f := abi.NewFault(abi.Unavailable, "the store failed: "+err.Error(), "restart the server; nothing unacknowledged is kept")
	if s.failed.CompareAndSwap(nil, f) {
		s.opts.Fatal(err)
	}
}

// readAll is the read timestamp of the store's own readers before it runs.
const readAll = math.MaxUint64
