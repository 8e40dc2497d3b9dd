package host_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Whatever an action of the trial plugin does (crash, emit, log, run out of something), its tape gives the same again: output or fault, what it
// logged and emitted, instructions.
func TestEveryOutcomeIsReplayed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	defer server.Close()
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	parameters := map[string]string{"fetch": `{"url":"` + server.URL + `/a","times":4}`, "echo": `{"text":"<ö>"}`}
	cut := map[string]bool{"loop": true, "doze": true}
	for action := range b.Manifest.Actions {
		t.Run(action, func(t *testing.T) {
			log := &tape.Memory{}
			out := mustRun(t, h, host.Invocation{Bundle: b, Action: action, Parameters: json.RawMessage(parameters[action]), Tape: log,
				Settings: json.RawMessage(`{"url":"` + server.URL + `"}`), Grant: capability.Grant{"api": {}, "keep": {}}})
			o := tape.OutcomeOf(log.Entries())
			if o == nil || o.Cut != cut[action] || (o.Fault == nil) != (out.Fault == nil) || (o.Logs == "") != (len(out.Logs) == 0 || out.Logs[0].Fields["stream"] != nil) ||
				(o.Emissions == "") != (len(out.Emissions) == 0) || o.Fuel != out.Stats.Fuel || o.Fault == nil && o.Output != tape.Digest(out.Output) {
				t.Fatalf("recorded %+v of %.2000s", o, fmt.Sprintf("%+v", out))
			}
			if o.Cut {
				return
			}
			r := tape.NewReplay(log.Entries(), tape.Exact)
			again := mustRun(t, h, host.Invocation{Bundle: b, Tape: r})
			if c := r.Compare(); !c.Same() || c.String() != "" || len(c.Calls) != out.Stats.HostCalls || tape.OutcomeOf(r.Played()) == nil {
				t.Errorf("%d calls: %s", len(c.Calls), c)
			}
			if string(again.Output) != string(out.Output) || len(again.Logs) != len(out.Logs) || len(again.Emissions) != len(out.Emissions) {
				t.Errorf("again %.2000s", fmt.Sprintf("%+v", again))
			}
			// As after a crash just before the outcome was known: nothing is done or recorded twice.
			resumed := tape.Resume(log.Entries())
			if out := mustRun(t, h, host.Invocation{Bundle: b, Action: action, Parameters: json.RawMessage(parameters[action]), Tape: resumed,
				Settings: json.RawMessage(`{"url":"` + server.URL + `"}`), Grant: capability.Grant{"api": {}, "keep": {}}}); string(out.Output) != string(again.Output) {
				t.Errorf("resumed %.2000s", fmt.Sprintf("%+v", out))
			}
			if tape.Head(resumed.Entries()) != tape.Head(log.Entries()) {
				t.Errorf("resumed, the tape has %d entries instead of %d", len(resumed.Entries()), len(log.Entries()))
			}
		})
	}
}

// The modes, and going on live behind a number of calls.
func TestModesOfReplay(t *testing.T) {
	seen := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen++; fmt.Fprintf(w, "%s %d", r.URL.Path, seen) }))
	defer server.Close()
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	in := host.Invocation{Bundle: b, Action: "fetch", Parameters: json.RawMessage(`{"url":"` + server.URL + `/a","times":3}`),
		Settings: json.RawMessage(`{"url":"` + server.URL + `"}`), Grant: capability.Grant{"api": {}}}
	log := &tape.Memory{}
	in.Tape = log
	if out := mustRun(t, h, in); string(out.Output) != `"/a 3"` {
		t.Fatalf("%s %v", out.Output, out.Fault)
	}
	in.Tape = tape.Resume(tape.Upto(log.Entries(), 2, tape.EndKind))
	if out := mustRun(t, h, in); string(out.Output) != `"/a 4"` || seen != 4 {
		t.Errorf("live after two calls: %s, %d requests", out.Output, seen)
	}
	less := log.Entries()
	less = append(less[:5:5], less[7:]...) // without the third call
	lenient := tape.NewReplay(less, tape.Lenient)
	out := mustRun(t, h, host.Invocation{Bundle: b, Tape: lenient})
	if out.Fault == nil || out.Fault.Kind != abi.Refused || !strings.Contains(out.Fault.Message, "no such call: http.fetch GET "+server.URL+"/a") {
		t.Errorf("lenient: %s %v", out.Output, out.Fault)
	}
	if c := lenient.Compare(); c.Same() || len(c.Calls) != 3 || !strings.Contains(c.String(), "call 3 is not on the tape") {
		t.Errorf("lenient: %s", c)
	}
	other := install(t, h, built["webhook"])
	var f *abi.Fault
	if _, err := h.Run(t.Context(), host.Invocation{Bundle: other, Tape: tape.NewReplay(log.Entries(), tape.Exact)}); !errors.As(err, &f) || f.Kind != abi.Conflict {
		t.Errorf("the tape of another module gave %v", err)
	}
	strict := tape.NewReplay(log.Entries(), tape.Strict)
	if out := mustRun(t, h, host.Invocation{Bundle: other, Tape: strict}); out.Fault == nil || out.Fault.Kind != abi.NotFound { // it has no action fetch
		t.Errorf("another plugin: %+v", out)
	}
	if _, err := h.Run(t.Context(), host.Invocation{Bundle: b, Tape: tape.NewReplay(nil, tape.Strict)}); !errors.As(err, &f) || f.Kind != abi.NotFound {
		t.Errorf("an empty tape gave %v", err)
	}
	if seen != 4 {
		t.Errorf("replays made %d requests", seen-4)
	}
}

// What a recorded invocation began in is what its replay begins in.
func TestReplayKeepsClockAndChance(t *testing.T) {
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	log := &tape.Memory{}
	out := mustRun(t, h, host.Invocation{ID: "inv-7", Key: "key-7", Bundle: b, Action: "observe", Tape: log, Now: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)})
	again := mustRun(t, h, host.Invocation{ID: "inv-8", Key: "key-8", Bundle: b, Tape: tape.NewReplay(log.Entries(), tape.Exact)})
	if out.Fault != nil || string(out.Output) != string(again.Output) || !strings.Contains(string(out.Output), "2031-05-06T07:08:09Z") {
		t.Errorf("%s, again %s, %v", out.Output, again.Output, out.Fault)
	}
}
