package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// On Linux each instance maps the file of the image privately (mmap(2), MAP_PRIVATE): a page belongs to all of them, and to all servers that use
// the cache, until one writes to it. The file is ours alone, is never written again, and goes by being unlinked only. Behind it lies room for the
// memory to grow, which takes nothing until it is used. Which pages an instance has of its own is told by /proc/self/pagemap
// (Documentation/admin-guide/mm/pagemap.rst: a page that is present or swapped, and not of a file, is anonymous), so that only those are put back.
// Since Linux 6.7 it can be asked for those alone (ioctl PAGEMAP_SCAN), which takes half as long as reading what it says of each page; workers, which may
// not ask, read. Memory that begins with no image is such a mapping without a file. To throw the pages away (MADV_DONTNEED) instead would cost a page
// fault or two for each in the next call, which takes far longer than the copy; that is what is done where there is no pagemap, and with an instance that
// came to hold too many.

// sharedPages is an image that instances can map.
type sharedPages struct {
	fd      int
	content []byte   // mapped, read-only
	pagemap *os.File // nil if there is none that can be relied on
	scans   bool     // it can be asked with PAGEMAP_SCAN
}

// maxOwnPages is how many pages of its own an instance may keep between two invocations: 2 MiB.
const maxOwnPages = 512

// sharePages maps the first size bytes of a file, a multiple of 64 KiB and not 0.
func sharePages(file *os.File, size int) (*sharedPages, error) {
	if unix.Getpagesize() != pageSize {
		return nil, fmt.Errorf("host: pages of %d bytes are not supported", unix.Getpagesize())
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("host: file of an image: %w", err)
	}
	s := &sharedPages{fd: fd}
	if s.content, err = unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(fmt.Errorf("host: mapping of an image: %w", err), s.release())
	}
	if s.pagemap, err = os.Open("/proc/self/pagemap"); err == nil {
		if s.scans = true; s.pagemapTells() {
			return s, nil
		}
		if s.scans = false; !s.pagemapTells() {
			_ = s.pagemap.Close() // it was only read
			s.pagemap = nil
		}
	}
	return s, nil
}

// pagemapTells tries whether the kernel tells pages that were written from those that were read.
func (s *sharedPages) pagemapTells() bool {
	p, err := s.private(0)
	if err != nil {
		return false
	}
	defer p.release()
	const read, written = 1, 2
	p.content[written*pageSize] = s.content[written*pageSize] ^ p.content[read*pageSize] ^ 1
	err = p.find(len(s.content))
	return err == nil && len(p.own) == 1 && p.own[0] == run{written * pageSize, (written + 1) * pageSize}
}

// release gives the image back; instances that map it keep their pages.
func (s *sharedPages) release() error {
	var err error
	if s.pagemap != nil {
		err = s.pagemap.Close()
	}
	if s.content != nil {
		err = errors.Join(err, unix.Munmap(s.content))
	}
	return errors.Join(err, unix.Close(s.fd))
}

// privatePages is what one instance sees of an image: its own copy of each page that it wrote to.
type privatePages struct {
	shared  *sharedPages // nil without an image
	content []byte       // the image, and room to grow
	entries []byte       // of the pagemap
	regions []region     // of a scan
	own     []run        // pages that were its own when last asked
	ownSize int          // bytes of them
}

// run is pages in a row, as offsets into the memory.
type run struct{ start, end int }

const access = unix.PROT_READ | unix.PROT_WRITE

// mapBytes gives n zeros that are not on the heap, and take memory as they are touched only; nil if the system has none.
func mapBytes(n int) []byte {
	content, err := unix.Mmap(-1, 0, n, access, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return content
}

func unmapBytes(content []byte) { _ = unix.Munmap(content) } // it fails for what is not mapped only

// privateRoom is memory without an image that may come to so many bytes.
func privateRoom(most int) (*privatePages, error) {
	content := mapBytes(most)
	if content == nil {
		return nil, errors.New("host: no room for the memory of a guest")
	}
	return &privatePages{content: content}, nil
}

// private maps the image for one instance, whose memory may come to so many bytes.
func (s *sharedPages) private(most int) (*privatePages, error) {
	p, err := privateRoom(max(most, len(s.content)))
	if err != nil {
		return nil, err
	}
	p.shared = s
	if _, err := unix.MmapPtr(s.fd, 0, unsafe.Pointer(unsafe.SliceData(p.content)), uintptr(len(s.content)), access, unix.MAP_PRIVATE|unix.MAP_FIXED); err != nil {
		p.release()
		return nil, fmt.Errorf("host: mapping of an image: %w", err)
	}
	return p, nil
}

func (p *privatePages) release() { unmapBytes(p.content) }

// held is how many bytes belonged to this instance alone when its pages were last looked for.
func (p *privatePages) held() int { return p.ownSize }

// found notes pages that belong to this instance alone.
func (p *privatePages) found(r run) {
	p.ownSize += r.end - r.start
	if last := len(p.own) - 1; last >= 0 && p.own[last].end == r.start {
		p.own[last].end = r.end
		return
	}
	p.own = append(p.own, r)
}

// find looks which pages of the first size bytes belong to this instance alone. It need not go on when they are too many to be kept.
func (p *privatePages) find(size int) error {
	p.own, p.ownSize = p.own[:0], 0
	if p.shared.scans {
		return p.scan(size)
	}
	const (
		entry            = 8 // bytes
		present, swapped = 1 << 63, 1 << 62
		ofFile           = 1 << 61
	)
	p.entries = slices.Grow(p.entries[:0], size/pageSize*entry)[:size/pageSize*entry]
	first := uintptr(unsafe.Pointer(unsafe.SliceData(p.content))) / pageSize
	if _, err := p.shared.pagemap.ReadAt(p.entries, int64(first*entry)); err != nil {
		return err
	}
	for at := 0; at < len(p.entries); at += entry {
		if e := binary.LittleEndian.Uint64(p.entries[at:]); e&(present|swapped) != 0 && e&ofFile == 0 {
			p.found(run{at / entry * pageSize, (at/entry + 1) * pageSize})
		}
	}
	return nil
}

// region is pages in a row as a scan gives them: struct page_region of linux/fs.h.
type region struct{ start, end, categories uint64 }

// scanRequest is struct pm_scan_arg of linux/fs.h.
type scanRequest struct {
	size, flags                      uint64
	start, end, walkEnd              uint64
	regions, most, pages             uint64
	inverted, allOf, anyOf, returned uint64
}

// What pagemapScan, the ioctl PAGEMAP_SCAN, tells of pages.
const (
	pagemapScan   = 0xc0606610
	pageOfFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
	pageOfZeros   = 1 << 5 // that all share
)

// scan is find for kernels that are asked for what is wanted.
func (p *privatePages) scan(size int) error {
	if p.regions == nil {
		p.regions = make([]region, 64)
	}
	begin := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p.content))))
	q := scanRequest{start: begin, end: begin + uint64(size), most: uint64(len(p.regions)), inverted: pageOfFile | pageOfZeros, allOf: pageOfFile | pageOfZeros,
		anyOf: pageIsPresent | pageIsSwapped, returned: pageOfFile}
	q.size, q.regions = uint64(unsafe.Sizeof(q)), uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p.regions))))
	for ; q.start < q.end && p.ownSize <= maxOwnPages*pageSize; q.start = q.walkEnd {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, p.shared.pagemap.Fd(), pagemapScan, uintptr(unsafe.Pointer(&q)))
		if errno != 0 {
			return errno
		}
		for _, r := range p.regions[:n] {
			p.found(run{int(r.start - begin), int(r.end - begin)})
		}
	}
	return nil
}

// discard lets all pages go that belong to this instance alone, so that the next look at them finds the image.
func (p *privatePages) discard() error {
	p.own, p.ownSize = p.own[:0], 0
	return unix.Madvise(p.content, unix.MADV_DONTNEED)
}

// restore puts the image back into a memory that had come to size bytes, with zeros behind it.
func (p *privatePages) restore(size int) error {
	if p.shared != nil && p.shared.pagemap != nil {
		if err := p.find(size); err == nil && p.ownSize <= maxOwnPages*pageSize {
			for _, r := range p.own {
				n := copy(p.content[r.start:r.end], p.shared.content[min(r.start, len(p.shared.content)):])
				clear(p.content[r.start+n : r.end])
			}
			return nil
		}
	}
	return p.discard()
}
