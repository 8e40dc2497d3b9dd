package badgerstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/riposte-soar/riposte/server/journal"
)

func BenchmarkLone(b *testing.B) {
	s, err := Open(b.TempDir(), Options{Ballast: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ResetTimer()
	for i := range b.N {
		if err := journal.Commit(context.Background(), s, []journal.Op{{Key: fmt.Appendf(nil, "k%d", i), Value: make([]byte, 100)}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMany(b *testing.B) {
	s, err := Open(b.TempDir(), Options{Ballast: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		i := 0
		for pb.Next() {
			i++
			if err := journal.Commit(context.Background(), s, []journal.Op{{Key: fmt.Appendf(nil, "k%d/%p", i, pb), Value: make([]byte, 100)}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
