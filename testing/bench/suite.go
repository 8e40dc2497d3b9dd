package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/testing/harness"
)

const suiteCases = 100

// suite measures `riposte plugin test` with cases that are answered from tapes, as a whole command: build, load, run, report.
func (w *workshop) suite(ctx context.Context, l author.Language, wanted time.Duration) error {
	dir, err := w.project(l, "suite")
	if err != nil {
		return err
	}
	if err := w.record(ctx, dir); err != nil {
		return err
	}
	var last *exec.Cmd
	test := func() error {
		last = exec.CommandContext(ctx, w.binary, "plugin", "test", dir)
		out, err := last.CombinedOutput()
		if passed := fmt.Sprintf("%d passed", suiteCases); err != nil || !bytes.Contains(out, []byte(passed)) {
			return fmt.Errorf("riposte plugin test did not say %q: %w\n%s", passed, err, out)
		}
		return nil
	}
	if err := test(); err != nil { // so that the caches are warm
		return err
	}
	took, err := medians(3, test)
	if err != nil {
		return err
	}
	used := last.ProcessState.UserTime() + last.ProcessState.SystemTime()
	row(fmt.Sprintf("%s: riposte plugin test, %d cases with tapes", l.Title, suiteCases), seconds(took[0]), fmt.Sprintf("%s CPU, compilers included; wanted: under %v", seconds(used), wanted))
	return nil
}

// record makes a suite of one case: its call goes out once, and each case is answered from a copy of its tape.
func (w *workshop) record(ctx context.Context, dir string) error {
	folder := filepath.Join(dir, harness.CasesFolder)
	if err := errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o755)); err != nil {
		return err
	}
	file := filepath.Join(folder, "one.yaml")
	text := fmt.Sprintf("case: an address that is on the list\naction: look-up\nsettings: {url: %q, token: {secret: \"env:TOKEN\"}}\nparameters: {ip: %s}\n"+
		"expect: {result: {ip: %s, listed: true, reason: %s}, calls: 1}\n", w.service.URL, address, address, reason)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, w.binary, "plugin", "test", dir, "--record", "--allow", "127.0.0.0/8")
	cmd.Env = append(os.Environ(), "TOKEN="+serviceToken)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("riposte plugin test --record: %w\n%s", err, out)
	}
	recorded, err := os.ReadFile(file) // it names its tape now
	if err != nil {
		return err
	}
	tape, err := os.ReadFile(filepath.Join(folder, "one.tape"))
	if err != nil {
		return err
	}
	for i := 1; i < suiteCases; i++ {
		name := fmt.Sprintf("case-%d", i)
		err := errors.Join(os.WriteFile(filepath.Join(folder, name+".yaml"), bytes.ReplaceAll(recorded, []byte("one.tape"), []byte(name+".tape")), 0o644),
			os.WriteFile(filepath.Join(folder, name+".tape"), tape, 0o644))
		if err != nil {
			return err
		}
	}
	return nil
}

// saves measures `riposte plugin test --watch`: how long after a program was saved its report is there, beside what the compiler alone takes.
func (w *workshop) saves(ctx context.Context, l author.Language, wanted time.Duration) error {
	alone, err := w.project(l, "alone")
	if err != nil {
		return err
	}
	dir, err := w.project(l, "watch")
	if err != nil {
		return err
	}
	editAlone, err := editor(l, alone)
	if err != nil {
		return err
	}
	edit, err := editor(l, dir)
	if err != nil {
		return err
	}
	o := author.Options{Bare: true, Unchecked: true, Quick: true, Kept: w.dir}
	compile := func() error {
		if _, err := editAlone(); err != nil {
			return err
		}
		_, err := author.Build(ctx, alone, o)
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, w.binary, "plugin", "test", "--watch", dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	save := func() error {
		title, err := edit()
		if err != nil {
			return err
		}
		return waitForReport(lines, title)
	}
	const times = 7
	err = errors.Join(save(), compile()) // so that the caches are warm
	used := processorTime(cmd.Process.Pid, true)
	var took []time.Duration
	if err == nil {
		took, err = medians(times, save, compile)
	}
	used = processorTime(cmd.Process.Pid, true) - used
	stop()
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // it was interrupted
	if err != nil {
		return err
	}
	row(l.Title+": plugin test --watch, from a save to its report", seconds(took[0]), fmt.Sprintf("%.1f × the compiler alone, %s CPU with it; wanted: under %v",
		float64(took[0])/float64(took[1]), seconds(used/times), wanted))
	return nil
}

// editor gives a function that has the program of a new plugin know one more status, and a case answer with it: the case, whose title it gives, passes
// with a module of that very program only.
func editor(l author.Language, dir string) (func() (title string, err error), error) {
	program, file := filepath.Join(dir, map[string]string{"go": "main.go", "rust": "src/lib.rs", "c": "main.c"}[l.Name]), filepath.Join(dir, harness.CasesFolder, "not-listed.yaml")
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	example, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	condition, heading, answer := regexp.MustCompile(`(\S+) ([=!]=) 404`), regexp.MustCompile(`(?m)^case: .*`), regexp.MustCompile(`status: 404\b`)
	found := condition.FindSubmatch(text)
	if found == nil || !heading.Match(example) || !answer.Match(example) {
		return nil, fmt.Errorf("%s does not ask for the status 404, or %s has no title or no such status", program, file)
	}
	join := map[string]string{"==": "||", "!=": "&&"}[string(found[2])]
	status := 500
	return func() (string, error) {
		status++
		title := fmt.Sprintf("the program that knows %d", status)
		return title, errors.Join(os.WriteFile(program, condition.ReplaceAll(text, fmt.Appendf(nil, "$1 $2 404 %s $1 $2 %d", join, status)), 0o644),
			os.WriteFile(file, answer.ReplaceAll(heading.ReplaceAll(example, []byte("case: "+title)), fmt.Appendf(nil, "status: %d", status)), 0o644))
	}, nil
}

// waitForReport waits for the report that shows the title, in which all three cases of the template must have passed.
func waitForReport(lines *bufio.Scanner, title string) error {
	var said strings.Builder
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if !strings.Contains(lines.Text(), "Waiting for the next one") {
			continue
		}
		if report := said.String(); strings.Contains(report, title) && strings.Contains(report, "3 passed") {
			return nil
		}
		said.Reset() // it is an earlier one, or of an earlier program
	}
	return fmt.Errorf("it ended: %w\n%s", errors.Join(lines.Err(), io.ErrUnexpectedEOF), said.String())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
