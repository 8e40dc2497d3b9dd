package harness

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/document"
)

// Verdict is what became of a case.
type Verdict string

// The verdicts.
const (
	Passed Verdict = "passed"
	Failed Verdict = "failed"
	Broken Verdict = "broken" // it could not be tried: a tape is missing, for example
)

// Report is what a run of cases came to.
type Report struct {
	Plugin  string        `json:"plugin"`
	Version string        `json:"version"`
	Title   string        `json:"title"`
	Digest  string        `json:"digest"`
	Mode    string        `json:"mode,omitempty"` // in words; empty is the usual one
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	Setup   time.Duration `json:"setup_ns"` // of it, to compile and load the module
	Results []*Result     `json:"results"`
	// Untested are the actions without a case, Unused the capabilities that the plugin asks for and no case needed.
	Untested []string `json:"untested,omitempty"`
	Unused   []string `json:"unused,omitempty"`
}

// Result is one case, or one variation or stage of it.
type Result struct {
	Case       string              `json:"case"`
	Title      string              `json:"title"`
	File       string              `json:"file"`
	Variation  string              `json:"variation,omitempty"`
	Action     string              `json:"action"`
	Verdict    Verdict             `json:"verdict"`
	Failures   []Failure           `json:"failures,omitempty"`
	Differs    string              `json:"differs,omitempty"` // from the tape
	Parameters json.RawMessage     `json:"parameters"`
	Settings   json.RawMessage     `json:"settings"` // with references in place of secrets
	Output     json.RawMessage     `json:"output,omitempty"`
	Fault      *abi.Fault          `json:"fault,omitempty"`
	Calls      []tape.Exchange     `json:"calls"`
	Logs       []abi.LogEntry      `json:"logs,omitempty"`
	Emissions  []hostcall.Emission `json:"emissions,omitempty"`
	Stack      []string            `json:"stack,omitempty"`
	Fuel       int64               `json:"fuel"`   // instructions
	Memory     int64               `json:"memory"` // bytes
	Wall       time.Duration       `json:"wall_ns"`

	outcome *host.Outcome
	entries []tape.Entry
}

// Name is the case with its variation.
func (r *Result) Name() string {
	if r.Variation != "" {
		return r.Case + " · " + r.Variation
	}
	return r.Case
}

// Entries gives the tape that the result made.
func (r *Result) Entries() []tape.Entry { return r.entries }

func (r *Result) took(out *host.Outcome, entries []tape.Entry) {
	r.outcome, r.entries = out, entries
	r.Output, r.Fault, r.Calls, r.Logs, r.Emissions, r.Stack = out.Output, out.Fault, tape.Exchanges(entries), out.Logs, out.Emissions, out.Stack
	r.Fuel, r.Memory, r.Wall = out.Stats.Fuel, out.Stats.Memory, out.Stats.Wall
}

func (r *Result) fail(list ...Failure) {
	if len(list) > 0 {
		r.Verdict, r.Failures = Failed, append(r.Failures, list...)
	}
}

// broken notes why a case could not be tried.
func (r *Result) broken(err error) *Result {
	r.Verdict = Broken
	problems, ok := err.(document.Problems) //nolint:errorlint // it is given as it is
	for _, p := range problems {
		r.Failures = append(r.Failures, Failure{Where: p.Where(), Message: strings.TrimSuffix(p.Message+" ("+p.Hint+")", " ()")})
	}
	if !ok {
		r.Failures = append(r.Failures, Failure{Where: r.File, Message: err.Error()})
	}
	return r
}

// Count gives the number of results of a verdict.
func (r *Report) Count(v Verdict) (n int) {
	for _, one := range r.Results {
		if one.Verdict == v {
			n++
		}
	}
	return n
}

// Troubled lists the results that did not pass, and Fine those that did, in the order of the cases.
func (r *Report) Troubled() []*Result { return r.which(func(v Verdict) bool { return v != Passed }) }

// Fine lists the results that passed.
func (r *Report) Fine() []*Result { return r.which(func(v Verdict) bool { return v == Passed }) }

func (r *Report) which(of func(Verdict) bool) (list []*Result) {
	for _, one := range r.Results {
		if of(one.Verdict) {
			list = append(list, one)
		}
	}
	return list
}

// Ran is how long the cases took, without what came before them.
func (r *Report) Ran() time.Duration { return r.Took - r.Setup }

// OK says that all cases passed.
func (r *Report) OK() bool { return r.Count(Passed) == len(r.Results) }

// cover finds what no case needed.
func (r *Report) cover(b *bundle.Bundle) {
	actions, used := map[string]bool{}, map[string]bool{}
	for _, one := range r.Results {
		actions[one.Action] = true
		for i := range one.Calls {
			if !one.Calls[i].Refused {
				used[one.Calls[i].Capability] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Manifest.Actions)) {
		if !actions[name] {
			r.Untested = append(r.Untested, name)
		}
	}
	for _, q := range b.Manifest.Requires {
		if !used[q.ID] {
			r.Unused = append(r.Unused, q.ID)
		}
	}
}

// Summary tells the report in one line.
func (r *Report) Summary() string {
	s := fmt.Sprintf("%d passed", r.Count(Passed))
	if n := r.Count(Failed); n > 0 {
		s += fmt.Sprintf(", %d failed", n)
	}
	if n := r.Count(Broken); n > 0 {
		s += fmt.Sprintf(", %d could not be tried", n)
	}
	return s
}

// Trouble says in one line why a result did not pass; "" if it did.
func (r *Result) Trouble() string {
	switch {
	case r.Verdict == Passed || len(r.Failures) == 0:
		return ""
	case r.saysFault(r.Failures[0]):
		return r.Fault.Error()
	}
	f := r.Failures[0]
	message, _, _ := strings.Cut(f.Message, "\n")
	if f.Path != "" {
		message += " at " + f.Path
	}
	if more := len(r.Failures) - 1; more > 0 {
		message += fmt.Sprintf(", and %d more", more)
	}
	return message
}

// saysFault says that a failure tells no more than the fault does, which stands beside it.
func (r *Result) saysFault(f Failure) bool { return r.Fault != nil && f.Got == r.Fault.Error() }

// Violation says that a result broke the plugin's own schema.
func (r *Result) Violation() bool {
	return r.Fault != nil && r.Fault.Kind == abi.Trap && strings.Contains(r.Fault.Message, "breaks its own schema")
}

// Join adds the results of another mode; the mode in words is left to the caller.
func (r *Report) Join(more *Report) {
	r.Results = append(r.Results, more.Results...)
	r.Took += more.Took
	r.Setup += more.Setup
	both := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
	}
	r.Untested, r.Unused = both(r.Untested, more.Untested), both(r.Unused, more.Unused)
}
