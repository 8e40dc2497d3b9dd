package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// part is a benchmark of a package that gives a ratio, taken in one run on one machine.
type part struct {
	folder, benchmark, what, unit string
	wanted                        float64
	least                         bool // what is wanted is the least, not the most
}

// parts of the sandbox. Processor time, not the clock, where other programs would disturb that.
var parts = []part{
	{"./host", "BenchmarkAgainstTheSDK/go", "call with a fresh state, Go: times cheaper than the SDK", "times-cheaper", 25, true},
	{"./host", "BenchmarkAgainstTheSDK/rust", "the same, a small module in Rust", "times-cheaper", 5, true},
	{"./host", "BenchmarkAgainstTheSDK/c", "the same, a small module in C", "times-cheaper", 5, true},
	{"./plugins/webhook", "BenchmarkAgainstBuiltIn", "sandboxed action: times the same action built in", "times-dearer", 4, false},
	{"./host/meter", "BenchmarkOverhead/go-json", "metering, JSON in Go: times without", "time-ratio", 1.15, false},
	{"./host/meter", "BenchmarkOverhead/add-loop", "metering, the tightest loop: times without", "time-ratio", 1.3, false},
	{"./host/meter", "BenchmarkOverhead/mul-loop", "the same, with a multiplication", "time-ratio", 1.3, false},
	{"./host/meter", "BenchmarkOverhead/sum-memory", "the same, over memory", "time-ratio", 1.3, false},
}

// sandbox measures the parts.
func sandbox(ctx context.Context) error {
	var folders []string
	for _, p := range parts {
		if !slices.Contains(folders, p.folder) {
			folders = append(folders, p.folder)
		}
	}
	for _, folder := range folders {
		found, err := benchmarks(ctx, folder)
		if err != nil {
			return fmt.Errorf("benchmarks of %s: %w", folder, err)
		}
		for _, p := range parts {
			if p.folder != folder {
				continue
			}
			value, ok := found[p.benchmark+" "+p.unit]
			if !ok {
				row(p.what, "not measured", "")
				continue
			}
			word := "at most"
			if p.least {
				word = "at least"
			}
			row(p.what, fmt.Sprintf("%.2f", value), fmt.Sprintf("wanted: %s %v", word, p.wanted))
		}
	}
	return nil
}

// benchmarks runs those that parts names of a folder, and gives their figures by name and unit.
func benchmarks(ctx context.Context, folder string) (map[string]float64, error) {
	var names []string
	for _, p := range parts {
		if name, _, _ := strings.Cut(p.benchmark, "/"); p.folder == folder && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^("+strings.Join(names, "|")+")$", folder)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	figures := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := fields[0]
		if at := strings.LastIndexByte(name, '-'); at > 0 {
			if _, err := strconv.Atoi(name[at+1:]); err == nil { // of processors
				name = name[:at]
			}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				figures[name+" "+fields[i+1]] = v
			}
		}
	}
	return figures, lines.Err()
}

// loss runs the test that follows alarms through several ways in.
func loss(ctx context.Context, count int) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestNothingIsLost$", "./testing/script", "-alarms", strconv.Itoa(count))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("alarms were lost, doubled or mixed up: %w\n%s", err, out)
	}
	row(fmt.Sprintf("%d alarms over every way in (TestNothingIsLost)", count), "all there", "wanted: none lost, none twice, none mixed up")
	return nil
}
