package badgerstore

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// Backup writes the state as of now to w, while the store goes on: a gzip stream, of which Restore notices when it was cut off
// or damaged. It is not encrypted.
func (s *Store) Backup(w io.Writer) error {
	seq, ok := s.snapshots.begin()
	if !ok {
		return errClosed
	}
	defer s.snapshots.end(seq)
	z := gzip.NewWriter(w)
	stream := s.db.NewStreamAt(seq)
	stream.NumGo = 1
	_, err := stream.Backup(z, 0)
	if err := errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("back up commit %d: %w", seq, err)
	}
	return nil
}

// Restore fills a new store in dir from a backup, and checks that it can be opened. After an error, dir must be removed.
func Restore(dir string, r io.Reader, opts Options) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	s, err := Open(dir, opts)
	if err != nil {
		return err
	}
	if s.chain.seq > 0 {
		return errors.Join(fmt.Errorf("restore backup: there is a store in %s already (choose an empty directory)", dir), s.Close())
	}
	err = s.db.Load(z, 16)
	if err := errors.Join(err, s.Close()); err != nil {
		return fmt.Errorf("restore backup: %w", err)
	}
	if s, err = Open(dir, opts); err != nil {
		return fmt.Errorf("check restored store: %w", err)
	}
	return s.Close()
}

// Verify reads all tables of the database and compares their checksums, which ordinary reads do not. It takes about a second
// for each GiB.
func (s *Store) Verify() error {
	seq, ok := s.snapshots.begin()
	if !ok {
		return errClosed
	}
	defer s.snapshots.end(seq)
	if err := s.db.VerifyChecksum(); err != nil {
		return fmt.Errorf("the database is damaged: %w (restore a backup, and look for disk errors)", err)
	}
	return nil
}
