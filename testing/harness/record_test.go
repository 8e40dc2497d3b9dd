package harness_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/testing/harness"
)

// wallServer is the world: a list of addresses.
type wallServer struct {
	mu      sync.Mutex
	list    map[string]bool
	sticky  bool // it says that it deletes, and does not
	bearers map[string]bool
}

func (w *wallServer) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bearers[r.Header.Get("Authorization")] = true
	switch there := w.list[r.URL.Path]; {
	case r.Method == "PUT":
		w.list[r.URL.Path] = true
		out.WriteHeader(http.StatusCreated)
	case r.Method == "DELETE":
		if !w.sticky {
			delete(w.list, r.URL.Path)
		}
		out.WriteHeader(http.StatusNoContent)
	case there:
		fmt.Fprintf(out, `{"seen": %q, "big": %q}`, r.Header.Get("Authorization"), strings.Repeat("x", 5000))
	default:
		http.NotFound(out, r)
	}
}

func startWall(t *testing.T) (*wallServer, json.RawMessage) {
	w := &wallServer{list: map[string]bool{}, bearers: map[string]bool{}}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	return w, json.RawMessage(fmt.Sprintf(`{"url": %q, "key": {"secret": "env:WALL_KEY"}}`, s.URL))
}

// write puts a case into a folder of its own, and reads it.
func write(t *testing.T, name, text string) (*harness.Case, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return again(t, file), file
}

func again(t *testing.T, file string) *harness.Case {
	t.Helper()
	c, problems := harness.LoadFile(file, shared.wall)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

func TestRecordAndReplay(t *testing.T) {
	world, live := startWall(t)
	world.list["/list/203.0.113.66"] = true
	c, file := write(t, "seen", "case: x\naction: blocked\nparameters: {ip: 203.0.113.66}\nexpect: {result: {present: true}}\n")
	report := run(t, harness.Mode{}, c)
	if report.OK() {
		t.Error("a case that nothing answers passed")
	}
	passes(t, run(t, harness.Mode{Record: true, Settings: live}, c))
	if !world.bearers["Bearer "+key] {
		t.Error("the secret did not go out")
	}
	recorded, err := os.ReadFile(filepath.Join(filepath.Dir(file), "seen.tape"))
	if err != nil || strings.Contains(string(recorded), key) {
		t.Errorf("the tape is not there, or holds the secret: %v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasSuffix(string(text), "\ntape: seen.tape\n") {
		t.Errorf("%v %s", err, text)
	}
	// A case with other settings than those that were recorded asks for something else: the replay says so.
	other := strings.Replace(string(text), "parameters:", `settings: {url: "http://127.0.0.1:1", key: {secret: "env:WALL_KEY"}}`+"\nparameters:", 1)
	if err := os.WriteFile(file, []byte(other), 0o644); err != nil {
		t.Fatal(err)
	}
	report = run(t, harness.Mode{}, again(t, file))
	if said := fmt.Sprint(report.Results[0].Failures); !strings.Contains(said, "call 1 differs from the tape") || !strings.Contains(said, "record the case again") {
		t.Error(said)
	}
	report = run(t, harness.Mode{Replay: tape.Lenient}, again(t, file))
	if said := fmt.Sprint(report.Results[0].Failures, report.Results[0].Fault); !strings.Contains(said, "the tape has no such call") {
		t.Error(said)
	}
	// Without settings and parameters of its own it has those of the tape.
	bare := regexp.MustCompile(`(?m)^parameters.*\n`).ReplaceAll(text, nil)
	if err := os.WriteFile(file, bare, 0o644); err != nil {
		t.Fatal(err)
	}
	clear(world.list)
	passes(t, run(t, harness.Mode{}, again(t, file)))
	passes(t, run(t, harness.Mode{Replay: tape.Lenient}, again(t, file)))
	passes(t, run(t, harness.Mode{Fault: &harness.Injection{Kind: "429"}}, again(t, file)))
	passes(t, run(t, harness.Mode{Crash: &harness.Crash{When: tape.BeginKind}}, again(t, file)))
	passes(t, run(t, harness.Mode{LiveAfter: 1}, again(t, file)))
}

func TestLiveAfter(t *testing.T) {
	world, live := startWall(t)
	c, file := write(t, "block", "case: x\naction: block\nparameters: {ip: 203.0.113.66}\nexpect: {result: {count: 1}}\nsettings: "+string(live)+"\n")
	passes(t, run(t, harness.Mode{Record: true}, c))
	clear(world.list)
	passes(t, run(t, harness.Mode{}, again(t, file)))
	if len(world.list) != 0 {
		t.Error("a replay went out")
	}
	passes(t, run(t, harness.Mode{LiveAfter: 1}, again(t, file)))
	if !world.list["/list/203.0.113.66"] {
		t.Error("nothing went out behind call 1")
	}
}

func TestContract(t *testing.T) {
	world, live := startWall(t)
	c, file := write(t, "life", "case: x\naction: block\ncontract: true\nparameters: {ip: 203.0.113.66, note: a}\nsettings: "+string(live)+"\nexpect: {result: {count: 1}}\n")
	report := run(t, harness.Mode{Record: true}, c)
	passes(t, report)
	if len(report.Results) != 7 || len(world.list) != 0 {
		t.Errorf("%d stages, left behind: %v", len(report.Results), world.list)
	}
	report = run(t, harness.Mode{}, again(t, file))
	passes(t, report)
	if len(report.Results) != 7 || report.Results[6].Name() != "life · 7 nothing left" {
		t.Errorf("%d stages of the replay", len(report.Results))
	}
	world.sticky = true
	report = run(t, harness.Mode{Contract: true}, again(t, file))
	last := report.Results[len(report.Results)-1]
	if said := fmt.Sprint(last.Failures); !strings.Contains(said, "the probe says something else at $.present: want false, got true") {
		t.Error(last.Name(), said)
	}
	report = run(t, harness.Mode{Contract: true}, again(t, file))
	if said := fmt.Sprint(report.Results[0].Failures); len(report.Results) != 1 || !strings.Contains(said, "want false, got true") {
		t.Error(len(report.Results), said)
	}
}

func TestMissingTapeIsNamed(t *testing.T) {
	c, _ := write(t, "x", "case: x\naction: blocked\ntape: none.tape\n")
	report := run(t, harness.Mode{}, c)
	if said := fmt.Sprint(report.Results[0].Failures); report.Results[0].Verdict != harness.Broken || !strings.Contains(said, "x.yaml:3:7: ") || !strings.Contains(said, "--record") {
		t.Error(said)
	}
}
