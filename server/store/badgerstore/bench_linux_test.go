package badgerstore

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/riposte-soar/riposte/server/journal"
)

// bareSync is the time that this disk takes, at this moment, to append a small record to a file and to sync it.
func bareSync(b *testing.B) time.Duration {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, 100)
	const n = 300
	start := time.Now()
	for range n {
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) / n
}

// BenchmarkLone is the latency of a durable commit for which nobody else waits, also as a multiple of a bare sync.
func BenchmarkLone(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	bare := bareSync(b)
	i := 0
	for b.Loop() {
		i++
		if err := journal.Commit(b.Context(), s, []journal.Op{{Key: fmt.Append(nil, i), Value: make([]byte, 100)}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(bare), "×bare-sync")
}

// BenchmarkWriters is what 64 writers commit together, each waiting for its own, also as a multiple of what a bare program
// syncs one after the other.
func BenchmarkWriters(b *testing.B) {
	for _, size := range []int{16, 100, 1000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			bare := bareSync(b)
			var writer atomic.Int64
			b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				w := writer.Add(1)
				value := make([]byte, size)
				for i := 0; pb.Next(); i++ {
					if err := journal.Commit(b.Context(), s, []journal.Op{{Key: fmt.Appendf(nil, "%d/%d", w, i), Value: value}}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			perSecond := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(perSecond, "puts/s")
			b.ReportMetric(perSecond*bare.Seconds(), "×bare-sync")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	ops := make([]journal.Op, 1000)
	for i := range ops {
		ops[i] = journal.Op{Key: fmt.Append(nil, i), Value: make([]byte, 100)}
	}
	if err := journal.Commit(b.Context(), s, ops); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		if _, err := s.Get(ops[i%len(ops)].Key); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReopen is the start on a store with a full window of commit records.
func BenchmarkReopen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir, Options{})
	for i := range 20_000 {
		s.Submit(b.Context(), []journal.Op{{Key: fmt.Append(nil, i), Value: make([]byte, 1000)}}, 0, nil)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(dir, Options{Ballast: -1})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
