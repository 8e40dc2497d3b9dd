package snapshot_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host/meter"
)

// BenchmarkFreshState compares, in one run, what it takes to begin a call of a Go guest with a fresh state. Each turn makes a small call
// too, so that memory is as dirty as it will be; its time is not counted.
func BenchmarkFreshState(b *testing.B) {
	p := goPrepared(b)
	merged, err := meter.MergeData(goGuest(b))
	if err != nil {
		b.Fatal(err)
	}
	h := newHouse(b)
	for _, v := range []struct {
		name string
		bin  []byte
	}{{"instantiate", goGuest(b)}, {"merged", merged}, {"snapshot", p.Module}} {
		c := h.compile(b, v.bin)
		b.Run(v.name, func(b *testing.B) {
			for b.Loop() {
				h.instance(b, c).Close(context.Background())
			}
		})
	}
	c := h.compile(b, p.Module)
	for _, v := range []struct {
		name string
		call func(api.Module)
	}{
		{"reset-idle", func(api.Module) {}},
		{"reset-json", func(m api.Module) { call(b, m, "work", 1) }},
		{"reset-state", func(m api.Module) { call(b, m, "state", 7) }},
	} {
		b.Run(v.name, func(b *testing.B) {
			inst := h.instance(b, c)
			var spent time.Duration
			for b.Loop() {
				v.call(inst)
				start := time.Now()
				if err := p.Reset(inst); err != nil {
					b.Fatal(err)
				}
				spent += time.Since(start)
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/reset")
			b.ReportMetric(float64(inst.Memory().Size()), "memory-bytes")
		})
	}
}
