package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// oneAlarm waits until the whole path works: the plugin may still be compiled.
func oneAlarm(ctx context.Context, r *riposte, to *sink) error {
	id := nextID()
	ch := to.expect(id)
	if err := overHTTP(r)(line(id, "bench action")); err != nil {
		return err
	}
	_, err := wait(ctx, ch)
	return err
}

// latency measures one alarm at a time, at a rate.
func latency(ctx context.Context, s settings, r *riposte, plain *process, to *sink) error {
	var base time.Duration
	for _, way := range []struct {
		name, address string
		http          bool
	}{{"bare program, TCP", plain.address, false}, {"alarm → webhook, CEF over TCP", r.syslog, false}, {"alarm → webhook, CEF over HTTP", "", true}} {
		send, done := sender(nil), func() {}
		if way.http {
			send = overHTTP(r)
		} else {
			var err error
			if send, done, err = overTCP(way.address); err != nil {
				return err
			}
		}
		took, err := paced(ctx, s, send, to)
		done()
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		median, p99 := took[len(took)/2], took[len(took)*99/100]
		note := fmt.Sprintf("p99 %s", ms(p99))
		if base == 0 {
			base = median
		} else {
			note += fmt.Sprintf(", %.1f × bare; wanted: at most 1.5 ms", float64(median)/float64(base))
		}
		row(fmt.Sprintf("%s, %d/s: median", way.name, s.rate), ms(median), note)
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

// throughput keeps alarms in flight, and checks that none is lost, doubled or mixed up.
func throughput(ctx context.Context, s settings, r *riposte, plain *process, to *sink) error {
	tcp := func(address string) func() (sender, func(), error) {
		return func() (sender, func(), error) { return overTCP(address) }
	}
	warm := max(s.count/20, 100)
	if _, err := closed(ctx, s.flight, warm, tcp(plain.address), to); err != nil {
		return fmt.Errorf("bare program: %w", err)
	}
	took, err := closed(ctx, s.flight, s.count, tcp(plain.address), to)
	if err != nil {
		return fmt.Errorf("bare program: %w", err)
	}
	base := float64(s.count) / took.Seconds()
	row(fmt.Sprintf("bare program, %d in flight", s.flight), fmt.Sprintf("%.0f/s", base), "")
	if _, err := closed(ctx, s.flight, warm, tcp(r.syslog), to); err != nil {
		return err
	}
	before, own := r.cpu(), processorTime(os.Getpid(), false)
	took, err = closed(ctx, s.flight, s.count, tcp(r.syslog), to)
	if err != nil {
		return err
	}
	rate := float64(s.count) / took.Seconds()
	each := func(cpu time.Duration) float64 { return float64(cpu.Microseconds()) / 1000 / float64(s.count) }
	row(fmt.Sprintf("alarm → webhook, CEF over TCP, %d in flight", s.flight), fmt.Sprintf("%.0f/s", rate),
		fmt.Sprintf("%.2f × bare, %.2f ms CPU an alarm, and %.2f ms of the bench; wanted: at least 2500/s", rate/base, each(r.cpu()-before), each(processorTime(os.Getpid(), false)-own)))
	if err := to.verdict(); err != nil {
		return err
	}
	row(fmt.Sprintf("%d alarms through a sandboxed action", s.count), "all there", "none twice, none mixed up, as wanted")
	row("resident memory, after that", fmt.Sprintf("%d MB", r.rss()>>20), fmt.Sprintf("highest %d MB", r.peak()>>20))
	return nil
}

// ingest sends alarms that no rule wants, as fast as the socket takes them, until the last is on disk.
func ingest(ctx context.Context, s settings, r *riposte) error {
	stored := func() (int64, error) { return r.metric("riposte_alarms_unmatched_total") }
	before, err := stored()
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", r.syslog)
	if err != nil {
		return err
	}
	defer conn.Close()
	w := bufio.NewWriterSize(conn, 1<<16)
	began := time.Now()
	for range s.burst {
		if _, err := w.WriteString(line(nextID(), "nobody wants this") + "\n"); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := overHTTP(r)(line(nextID(), "nobody wants this")); err != nil { // is on disk after everything that was read before it
		return err
	}
	for {
		n, err := stored()
		if err != nil {
			return err
		}
		if n-before >= int64(s.burst)+1 {
			break
		}
		if time.Since(began) > 5*time.Minute || ctx.Err() != nil {
			return errors.New("the burst was not stored within five minutes")
		}
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Since(began)
	row("durable ingest without an action, CEF over one TCP connection", fmt.Sprintf("%.0f/s", float64(s.burst)/took.Seconds()), fmt.Sprintf("%d alarms; wanted: at least 5000/s", s.burst))
	row("resident memory, highest", fmt.Sprintf("%d MB", r.peak()>>20), fmt.Sprintf("after the burst %d MB, %d MB of them no mapped file; wanted: below 300", r.rss()>>20, r.anon()>>20))
	return nil
}
