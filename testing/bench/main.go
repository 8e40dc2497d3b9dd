// Command bench measures Riposte as a whole – the real binary, durable, with sandboxed plugins – against a bare Go program that appends, syncs and
// posts, and plugins in each language against programs that are started for each call, in the same run on the same machine. It prints figures and
// ratios, and fails only when an alarm is lost, doubled or mixed up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/riposte-soar/riposte/host"
)

// settings of a run.
type settings struct {
	binary string
	rate   int           // alarms a second for the latency
	during time.Duration // of each measurement
	flight int           // alarms in flight for the throughput
	count  int           // alarms for the check of loss
	burst  int           // alarms without an action, at once
	// What to measure.
	path, sandbox, authors bool
}

func main() {
	host.WorkerMain()
	var s settings
	flag.StringVar(&s.binary, "riposte", "bin/riposte", "binary to measure")
	flag.IntVar(&s.rate, "rate", 20, "alarms a second for the latency")
	flag.DurationVar(&s.during, "during", 10*time.Second, "length of each measurement")
	flag.IntVar(&s.flight, "flight", 16, "alarms in flight for the throughput")
	flag.IntVar(&s.count, "count", 20_000, "alarms for the check of loss")
	flag.IntVar(&s.burst, "burst", 100_000, "alarms without an action")
	flag.BoolVar(&s.path, "path", true, "measure the whole path of an alarm")
	flag.BoolVar(&s.sandbox, "sandbox", true, "measure the sandbox, by the benchmarks of its packages, and look for loss")
	flag.BoolVar(&s.authors, "authors", true, "measure plugins in each language, suites of cases, and watching")
	bare := flag.String("bare", "", "be the bare program: URL to post to")
	file := flag.String("file", "", "of the bare program: where to append")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *bare != "" {
		err = runBare(*bare, *file)
	} else {
		err = measure(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure takes the figures that are asked for.
func measure(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "riposte-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.path {
		if err := path(ctx, s, dir); err != nil {
			return err
		}
	}
	if s.sandbox {
		if err := errors.Join(sandbox(ctx), loss(ctx, s.count)); err != nil {
			return err
		}
	}
	if s.authors {
		return authors(ctx, s.binary, dir)
	}
	return nil
}

// path measures the path of an alarm.
func path(ctx context.Context, s settings, dir string) error {
	if err := parser(); err != nil {
		return fmt.Errorf("CEF: %w", err)
	}
	to, err := newSink()
	if err != nil {
		return err
	}
	defer to.close()
	plain, err := startBare(to.url(), filepath.Join(dir, "bare.log"))
	if err != nil {
		return fmt.Errorf("bare program: %w", err)
	}
	defer plain.stop()
	if out, err := exec.CommandContext(ctx, s.binary, "plugin", "compile").CombinedOutput(); err != nil {
		return fmt.Errorf("riposte plugin compile: %w\n%s", err, out)
	}
	began := time.Now()
	server, err := startRiposte(s.binary, filepath.Join(dir, "second"), to.url())
	if err != nil {
		return err
	}
	defer server.stop()
	row("ready, warm compile cache", fmt.Sprintf("%.2f s", time.Since(began).Seconds()), "until the API answers; wanted: at most 1")
	time.Sleep(2 * time.Second)
	row("resident memory, idle", fmt.Sprintf("%d MB", server.rss()>>20), "all plugins installed; wanted: at most 150")
	began = time.Now()
	if err := oneAlarm(ctx, server, to); err != nil {
		return err
	}
	row("first alarm → webhook after a start", ms(time.Since(began)), "")
	if err := latency(ctx, s, server, plain, to); err != nil {
		return err
	}
	if err := throughput(ctx, s, server, plain, to); err != nil {
		return err
	}
	fresh, err := startRiposte(s.binary, filepath.Join(dir, "third"), to.url()) // the memory of a burst, not that of what came before
	if err != nil {
		return err
	}
	defer fresh.stop()
	return ingest(ctx, s, fresh)
}

// row prints one figure.
func row(what, figure, note string) { fmt.Printf("%-58s %14s   %s\n", what, figure, note) }
