package tape

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// File is a Log in a file of JSON lines. Its blobs are files beside it, in the folder "blobs", named by their hashes and shared by the tapes of
// that folder. It may be used concurrently.
type File struct {
	mu       sync.Mutex
	f        *os.File
	blobs    string
	chain    Chain
	recorded []Entry
	failed   error // the first error; a tape with a gap is worse than none
}

// OpenFile opens a tape, or begins one. What is there is checked; a last line that was not written whole is cut off.
func OpenFile(name string) (*File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("tape: %w", err)
	}
	t := &File{f: f, blobs: filepath.Join(filepath.Dir(name), "blobs")}
	if err := t.resume(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return t, nil
}

// ReadFile reads and checks a tape that is whole.
func ReadFile(name string) ([]Entry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("tape: %w", err)
	}
	defer func() { _ = f.Close() }()
	entries, err := Parse(f, readBlob(filepath.Join(filepath.Dir(name), "blobs")))
	if err != nil {
		return entries, fmt.Errorf("%s: %w", name, err)
	}
	return entries, nil
}

func (t *File) resume() error {
	entries, err := Parse(t.f, readBlob(t.blobs))
	if err != nil && !errors.Is(err, ErrTorn) {
		return err
	}
	whole := int64(0)
	for i := range entries {
		line, err := t.chain.Line(&entries[i])
		if err != nil {
			return err
		}
		whole += int64(len(line))
	}
	if err := t.f.Truncate(whole); err != nil {
		return err
	}
	t.recorded = entries
	_, err = t.f.Seek(whole, io.SeekStart)
	return err
}

// Recorded gives what the file held when it was opened.
func (t *File) Recorded() []Entry { return t.recorded }

// Append writes the entry, its blobs first; with durable all of it is on disk when Append returns. After an error it takes nothing more.
func (t *File) Append(e Entry, durable bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil {
		t.failed = t.append(e, durable)
	}
	return t.failed
}

func (t *File) append(e Entry, durable bool) error {
	for digest, content := range e.Blobs {
		if err := t.writeBlob(digest, content); err != nil {
			return fmt.Errorf("tape: %w", err)
		}
	}
	line, err := t.chain.Line(&e)
	if err != nil {
		return err
	}
	if _, err := t.f.Write(line); err != nil {
		return fmt.Errorf("tape: %w", err)
	}
	if durable {
		return t.f.Sync()
	}
	return nil
}

// writeBlob makes the content's file appear whole, and on disk, or not at all.
func (t *File) writeBlob(digest string, content []byte) error {
	name, err := blobName(t.blobs, digest)
	if err != nil {
		return err
	}
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := os.MkdirAll(t.blobs, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(t.blobs, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(t.blobs)
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close syncs and closes the file.
func (t *File) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil {
		t.failed = errors.New("tape: closed")
	}
	err := errors.Join(t.f.Sync(), t.f.Close())
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

func blobName(dir, digest string) (string, error) {
	if !validDigest(digest) {
		return "", fmt.Errorf("blob %q: expected sha256: and 64 hexadecimal digits", digest)
	}
	return filepath.Join(dir, strings.TrimPrefix(digest, "sha256:")), nil
}

// maxBlob bounds the file of one blob.
const maxBlob = 256 << 20

func readBlob(dir string) func(string) ([]byte, error) {
	return func(digest string) ([]byte, error) {
		name, err := blobName(dir, digest)
		if err != nil {
			return nil, err
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("blob: %w", err)
		}
		defer func() { _ = f.Close() }()
		return io.ReadAll(io.LimitReader(f, maxBlob))
	}
}
