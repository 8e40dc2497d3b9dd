package badgerstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The database can sync its log of the memory table by itself (WithSyncWrites), but then it syncs its value log too at every commit, which stays empty
// here, and each sync that finds nothing costs a flush of the disk all the same.
const databaseSyncs = false

// wal is the log of the memory table that is being filled, DIR/NNNNN.mem, which the database writes to by a mapping. A commit lies in one such log as a
// whole, and the committer is the only one who writes, so it is in the newest when the database says that it is written.
type wal struct {
	dir  string
	file *os.File
	next string // path of the one after it
}

// sync makes durable what the database has written. A log before the newest needs nothing: what it holds was synced when it was the newest.
func (w *wal) sync() error {
	if err := w.follow(); err != nil {
		return fmt.Errorf("find the log: %w", err)
	}
	for {
		err := unix.Fdatasync(int(w.file.Fd()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "fdatasync", Path: w.file.Name(), Err: err}
		}
		return nil
	}
}

// follow opens the newest log if that is another one than before.
func (w *wal) follow() error {
	if w.file != nil {
		var own unix.Stat_t
		if err := unix.Fstat(int(w.file.Fd()), &own); err != nil {
			return err
		}
		if own.Nlink > 0 && unix.Access(w.next, unix.F_OK) == unix.ENOENT {
			return nil
		}
	}
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.mem"))
	if err != nil {
		return err
	}
	newest, path := -1, ""
	for _, log := range logs {
		if n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(log), ".mem")); err == nil && n > newest {
			newest, path = n, log
		}
	}
	if newest < 0 {
		return fmt.Errorf("%s: %w", filepath.Join(w.dir, "*.mem"), os.ErrNotExist)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	w.file, w.next = file, filepath.Join(w.dir, fmt.Sprintf("%05d.mem", newest+1))
	return syncDir(w.dir)
}

func (w *wal) close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}
