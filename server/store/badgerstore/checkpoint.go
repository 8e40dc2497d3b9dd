package badgerstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// checkpoint is a small file that holds the position of the newest commit. It is written after each commit was synced and
// before anyone hears of it, but synced itself only now and then by the system, and at Close: after the death of the process
// it is exact, after a power cut it may be some seconds old, and it is never ahead of the database.
//
// Two slots are written in turn, so that one of them is whole whenever the machine stops. A slot is
//
//	generation (8 bytes, big endian), number of the commit (8), chain head (32), CRC-32C of these (4)
type checkpoint struct {
	file       *os.File
	generation uint64
	noted      chain
}

const (
	slotSize   = 8 + 8 + sha256.Size + 4
	slotStride = 512
)

// openCheckpoint opens or creates the file. A file without a whole slot counts as empty: damaged is true if it held something.
func openCheckpoint(path string) (_ *checkpoint, damaged bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("open checkpoint: %w", err)
	}
	c := &checkpoint{file: f}
	var content [2 * slotStride]byte
	if _, err := f.ReadAt(content[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, errors.Join(fmt.Errorf("read checkpoint: %w", err), f.Close())
	}
	damaged = content != [2 * slotStride]byte{}
	for i := range 2 {
		if generation, noted, ok := decodeSlot(content[i*slotStride:]); ok && generation > c.generation {
			c.generation, c.noted, damaged = generation, noted, false
		}
	}
	return c, damaged, nil
}

func decodeSlot(b []byte) (generation uint64, noted chain, ok bool) {
	b = b[:slotSize]
	body, sum := b[:slotSize-4], b[slotSize-4:]
	if !bytes.Equal(checksum(body), sum) {
		return 0, noted, false
	}
	noted.seq = binary.BigEndian.Uint64(body[8:])
	copy(noted.head[:], body[16:])
	return binary.BigEndian.Uint64(body), noted, true
}

func checksum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// write notes a commit that is on disk.
func (c *checkpoint) write(noted chain) error {
	c.generation++
	b := make([]byte, 0, slotSize)
	b = binary.BigEndian.AppendUint64(b, c.generation)
	b = binary.BigEndian.AppendUint64(b, noted.seq)
	b = append(b, noted.head[:]...)
	b = append(b, checksum(b)...)
	if _, err := c.file.WriteAt(b, int64(c.generation%2)*slotStride); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	c.noted = noted
	return nil
}

// sync makes sure that the file and its name are on disk.
func (c *checkpoint) sync() error {
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("sync checkpoint: %w", err)
	}
	return syncDir(filepath.Dir(c.file.Name()))
}

func (c *checkpoint) close() error { return errors.Join(c.sync(), c.file.Close()) }
