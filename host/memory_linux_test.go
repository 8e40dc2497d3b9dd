package host

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// imageOf makes an image of some pages: random ones, and zeros.
func imageOf(t *testing.T, random *rand.Rand, pages int) (content []byte, shared *sharedPages) {
	t.Helper()
	content = make([]byte, pages*pageSize)
	for at := 0; at < len(content); at += 3 * pageSize {
		for i := range pageSize {
			content[at+i] = byte(random.Uint32())
		}
	}
	shared = share(t, content)
	t.Cleanup(func() {
		if err := shared.release(); err != nil {
			t.Error(err)
		}
	})
	return content, shared
}

// share maps content that lies in a file.
func share(t *testing.T, content []byte) *sharedPages {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.riposte-image")
	if err := writeFile(path, content); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	shared, err := sharePages(file, len(content))
	if err != nil {
		t.Fatal(err)
	}
	return shared
}

func TestPagesAreRestoredEachTime(t *testing.T) {
	const pages = 64 * 16
	for _, name := range []string{"scan", "pagemap", "without"} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			content, shared := imageOf(t, random, pages)
			switch {
			case name == "without":
				if shared.pagemap != nil {
					_ = shared.pagemap.Close()
					shared.pagemap = nil
				}
			case shared.pagemap == nil || name == "scan" && !shared.scans:
				t.Skip("NOT TESTED: the kernel does not tell pages in this way")
			case name == "pagemap":
				shared.scans = false
			}
			a, b := &limitedMemory{}, &limitedMemory{}
			for _, m := range []*limitedMemory{a, b} {
				private, err := shared.private(0)
				if err != nil {
					t.Fatal(err)
				}
				m.pages = private
				if got := m.Reallocate(uint64(len(content))); !bytes.Equal(got, content) || !m.mapped() {
					t.Fatal("the memory does not begin as the image")
				}
				defer m.release()
			}
			im := &image{memory: shared.content, pages: shared}
			b.buffer[5] ^= 1
			read := 0
			for turn := range 3000 {
				writes := random.IntN(40)
				if turn%500 == 499 {
					writes = 4 * pages // more than an instance may keep
				}
				for range writes {
					at := random.IntN(len(content))
					a.buffer[at] += byte(1 + random.IntN(255))
					read += int(a.buffer[random.IntN(len(content))]) // maps a page that is not written
				}
				if !a.restore(im) || !bytes.Equal(a.buffer, content) {
					t.Fatalf("turn %d: the memory is not the image", turn)
				}
				if a.held() > maxOwnPages*pageSize {
					t.Fatalf("turn %d: %d bytes are kept", turn, a.held())
				}
			}
			t.Logf("read %d", read)
			if b.buffer[5] != content[5]^1 || !bytes.Equal(shared.content, content) {
				t.Error("another instance, or the image, has changed")
			}
		})
	}
}

// TestLittleIsMappedThatIsNotRead: to read a byte of the image does not bring megabytes of it.
func TestLittleIsMappedThatIsNotRead(t *testing.T) {
	const pages = 1024
	_, shared := imageOf(t, rand.New(rand.NewPCG(5, 6)), pages)
	if shared.pagemap == nil {
		t.Skip("NOT TESTED: the kernel does not tell pages")
	}
	shared.scans = false // what is read of each page tells which are there
	p, err := shared.private(0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	for _, page := range []int{100, 700} {
		if p.content[page*pageSize] != shared.content[page*pageSize] {
			t.Errorf("page %d is not that of the image", page)
		}
	}
	if err := p.find(len(p.content)); err != nil || p.held() > 0 {
		t.Fatalf("%d bytes are the instance's own: %v", p.held(), err)
	}
	there := 0
	for at := 7; at < len(p.entries); at += 8 { // the highest bit says that a page is present
		there += int(p.entries[at] >> 7)
	}
	if there < 2 || there > pages/8 {
		t.Errorf("%d of %d pages are mapped after two were read", there, pages)
	}
}

func TestMemoryThatHasGrown(t *testing.T) {
	content, shared := imageOf(t, rand.New(rand.NewPCG(3, 4)), 16)
	const most = 16 << 20
	private, err := shared.private(most)
	if err != nil {
		t.Fatal(err)
	}
	m := &limitedMemory{limit: 64 << 20, pages: private}
	defer m.release()
	im := &image{memory: shared.content, pages: shared}
	m.Reallocate(uint64(len(content)))[7]++
	for _, grown := range []int{2 * len(content), most} {
		b := m.Reallocate(uint64(grown))
		if !m.mapped() || !bytes.Equal(b[8:len(content)], content[8:]) || bytes.Count(b[len(content):], []byte{0}) != grown-len(content) {
			t.Fatalf("memory that grew to %d bytes has another content", grown)
		}
		b[8], b[len(content)+5], b[grown-1] = 1, 2, 3
		if !m.restore(im) || !bytes.Equal(b[:len(content)], content) {
			t.Fatal("memory that grew was not restored")
		}
	}
	beyond := m.Reallocate(most + 1)
	if m.mapped() || !bytes.Equal(beyond[:len(content)], content) || m.restore(im) {
		t.Error("memory that grew beyond its room has another content, or was restored")
	}
	if m.Reallocate(65<<20) != nil || !m.stats.refused {
		t.Error("memory grew over its limit")
	}
}

// TestBlocksAreGivenBack makes and frees large blocks: nothing of them is on the heap, and nothing stays mapped.
func TestBlocksAreGivenBack(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	mapped := mappedPages(t)
	b := blocks{limit: 64 << 20}
	data := make([]byte, 8<<20)
	for range 20 {
		one, other, third := b.put(data), b.alloc(8<<20), b.put([]byte("small"))
		if one == 0 || other == 0 || third == 0 {
			t.Fatal("there was no room")
		}
		b.store8(other+5, 7)
		if b.load8(other+5) != 7 || b.load8(other+6) != 0 {
			t.Error("a block does not hold what was stored")
		}
		b.free(one)
		if b.load8(one) != 0 || b.alloc(64<<20) != 0 {
			t.Error("a block was used after it was freed, or beyond the limit")
		}
		b.reset()
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 10<<20 {
		t.Errorf("%d bytes were taken from the heap", took)
	}
	if more := mappedPages(t) - mapped; more > 160<<20/pageSize { // half of what was mapped; the heap may have reserved something
		t.Errorf("%d more pages are mapped", more)
	}
}

// mappedPages is the size of all mappings of this process.
func mappedPages(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[0])
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// count is the number of our mappings and files that are open.
func count(t *testing.T) (mappings, files int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && (strings.Contains(to, "riposte-image") || strings.HasSuffix(to, "/pagemap")) {
			files++
		}
	}
	return strings.Count(string(maps), "riposte-image"), files
}

func TestMappingsAndFilesAreGivenBack(t *testing.T) {
	mappings, files := count(t)
	for range 50 {
		shared := share(t, make([]byte, 64<<10))
		private, err := shared.private(128 << 10)
		if err != nil {
			t.Fatal(err)
		}
		m := limitedMemory{limit: 1 << 20, pages: private}
		m.Reallocate(64 << 10)[0] = 1
		if m.Reallocate(128<<10) == nil {
			t.Fatal("the memory did not grow")
		}
		if err := shared.release(); err != nil { // a module may go before its last instance
			t.Fatal(err)
		}
		m.release()
	}
	if m, f := count(t); m != mappings || f != files {
		t.Errorf("%d mappings and %d files, before there were %d and %d", m, f, mappings, files)
	}
}
