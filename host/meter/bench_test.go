package meter_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host/meter"
)

// BenchmarkOverhead runs the original and the rewritten module by turns and reports the median of the ratios of their times.
func BenchmarkOverhead(b *testing.B) {
	loops := tight().module("", "\x00\x10")
	for _, v := range []struct {
		name, fn string
		bin      []byte
		arg      uint64
	}{
		{"go-json", "work", guest(b), 4},
		{"go-recursion", "recurse", guest(b), 1000},
		{"add-loop", "add", loops, 1_000_000},
		{"mul-loop", "mul", loops, 1_000_000},
		{"sum-memory", "sum", loops, 100_000},
		{"fibonacci", "fib", loops, 22},
	} {
		b.Run(v.name, func(b *testing.B) {
			out := instrument(b, v.bin, meter.Options{})
			plain, metered := instance(b, guestRuntime(b, plenty()), v.bin), instance(b, guestRuntime(b, plenty()), out)
			var ratios []float64
			for b.Loop() {
				x := timed(b, plain, v.fn, v.arg)
				ratios = append(ratios, float64(timed(b, metered, v.fn, v.arg))/float64(x))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "time-ratio")
			b.ReportMetric(float64(len(out))/float64(len(v.bin)), "size-ratio")
		})
	}
}

func timed(b *testing.B, m api.Module, fn string, arg uint64) time.Duration {
	start := time.Now()
	if _, err := call(m, fn, arg); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkWork compiles the slow shapes as large as they may be, and gives the processor time in the unit of Limits.Work: at most about 1. See work.go.
func BenchmarkWork(b *testing.B) {
	for name, shape := range slow {
		b.Run(name, func(b *testing.B) {
			var bin []byte
			var n int
			for n = 64; ; n += n / 4 {
				locals, body := shape(n)
				out, err := meter.Instrument(one(body, locals, "", ""), meter.Options{Limits: meter.Limits{FunctionWork: 1e9}})
				if err != nil {
					break
				}
				bin = out
			}
			before := processor(b)
			for b.Loop() {
				if _, err := guestRuntime(b, plenty()).CompileModule(b.Context(), bin); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((processor(b)-before).Seconds()/float64(b.N), "of-estimate")
			b.ReportMetric(float64(n), "parts")
		})
	}
}

// processor is the time that this process has had.
func processor(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Skip("the system does not tell: ", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkInstrument is the time to rewrite a Go guest of 3.5 MB.
func BenchmarkInstrument(b *testing.B) {
	bin := guest(b)
	b.SetBytes(int64(len(bin)))
	for b.Loop() {
		instrument(b, bin, meter.Options{})
	}
}

// tight has the loops that suffer most.
func tight() *builder {
	b := &builder{}
	count := "\x20\x00\x41\x01\x6b\x22\x00\x0d\x00\x0b" // local 0 - 1, again unless zero
	b.add("add", i32+":"+i32, "\x01\x01"+i32, "\x03\x40\x20\x01\x20\x00\x6a\x21\x01"+count+"\x20\x01")
	b.add("mul", i32+":"+i32, "\x01\x01"+i32, "\x03\x40\x20\x01\x41\x03\x6c\x20\x00\x6a\x21\x01"+count+"\x20\x01")
	b.add("sum", i32+":"+i32, "\x01\x01"+i32, "\x03\x40\x20\x01\x20\x00\x28\x02\x00\x6a\x21\x01"+count+"\x20\x01")
	b.add("fib", i32+":"+i32, "\x00", "\x20\x00\x41\x02\x49\x04\x7f\x20\x00\x05\x20\x00\x41\x01\x6b\x10\x03\x20\x00\x41\x02\x6b\x10\x03\x6a\x0b")
	return b
}
