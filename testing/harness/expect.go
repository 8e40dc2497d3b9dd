package harness

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/document"
)

// expect is what must come of a case. With neither a result nor a fault, it must succeed.
type expect struct {
	Result  *document.Node            `yaml:"result"`
	Exactly bool                      `yaml:"exactly"` // the result has nothing else
	Paths   map[string]*document.Node `yaml:"paths"`
	Fault   *document.Node            `yaml:"fault"`
	// Calls are all host calls that were performed, in order, or their number; Refused those that were refused.
	Calls     *document.Node   `yaml:"calls"`
	Refused   *document.Node   `yaml:"refused"`
	Logs      []*document.Node `yaml:"logs"`      // each has its line: a text that is in it, or a map with level, message and fields
	Emissions []*document.Node `yaml:"emissions"` // each has its emission
	AtMost    atMost           `yaml:"at_most"`

	at                     *document.Node
	memory, output, answer int64
}

// atMost are ceilings.
type atMost struct {
	Fuel   int64          `yaml:"fuel"`   // instructions
	Memory *document.Node `yaml:"memory"` // "16MiB"
	Output *document.Node `yaml:"output"` // bytes of the result
	Bytes  *document.Node `yaml:"bytes"`  // of all requests and answers
	Calls  int            `yaml:"calls"`
}

func (r *caseReader) expect(n *document.Node) {
	e := &r.c.expect
	if problems := n.Decode(e); len(problems) > 0 {
		r.problems = append(r.problems, problems...)
		return
	}
	e.at = n
	if e.Fault != nil && (e.Result != nil || len(e.Paths) > 0) {
		r.problem(e.Fault, "an action gives a result or a fault, not both", "")
	}
	if e.Fault != nil {
		if kind := e.Fault.Get("kind"); kind != nil && kind.Kind == document.String {
			r.kind(kind, kind, abi.Kind(kind.Text()))
		}
	}
	for path, want := range e.Paths {
		if _, err := parsePath(path); err != nil {
			r.problems = append(r.problems, n.Get("paths").KeyProblem(path, err.Error(), ""))
		}
		r.checkPattern(want)
	}
	patterns := []*document.Node{e.Result, e.Fault, e.Calls, e.Refused}
	patterns = append(append(patterns, e.Logs...), e.Emissions...)
	for _, s := range r.c.Stubs {
		patterns = append(patterns, s.Match)
	}
	for _, p := range patterns {
		if p != nil {
			r.checkPattern(p)
		}
	}
	for _, size := range []struct {
		n    *document.Node
		into *int64
	}{{e.AtMost.Memory, &e.memory}, {e.AtMost.Output, &e.output}, {e.AtMost.Bytes, &e.answer}} {
		if size.n == nil {
			continue
		}
		var err error
		if *size.into, err = bundle.ParseSize(size.n.Text()); err != nil {
			r.problem(size.n, err.Error(), "such as 16MiB")
		}
	}
}

// Failure is one thing that is not as a case wants it.
type Failure struct {
	Where   string `json:"where"` // file:line:column of what is wanted
	Message string `json:"message"`
	Path    string `json:"path,omitempty"` // in the value
	Want    string `json:"want,omitempty"`
	Got     string `json:"got,omitempty"`
}

// String gives a failure in one line.
func (f Failure) String() string {
	s := f.Where + ": " + f.Message
	if f.Path != "" {
		s += " at " + f.Path
	}
	if f.Want != "" || f.Got != "" {
		s += fmt.Sprintf(": want %s, got %s", f.Want, f.Got)
	}
	return s
}

// checker holds what happened against what is wanted.
type checker struct {
	c        *Case
	failures []Failure
}

func (k *checker) fail(n *document.Node, message string, want, got string) {
	if n == nil {
		n = k.c.root
	}
	k.failures = append(k.failures, Failure{Where: n.Problem("", "").Where(), Message: message, Want: want, Got: got})
}

func (k *checker) match(what string, want *document.Node, got any, exactly bool) {
	for _, m := range match(want, got, "$", exactly) {
		k.failures = append(k.failures, Failure{Where: m.at.Problem("", "").Where(), Message: what, Path: m.path, Want: m.want, Got: m.got})
	}
}

// check holds an outcome and its calls against the expectations of the case.
func (c *Case) check(out *host.Outcome, calls []tape.Exchange) []Failure {
	k := &checker{c: c}
	k.outcome(out)
	k.calls(calls)
	k.each("log line", c.expect.Logs, len(out.Logs), func(i int) any { return logView(out.Logs[i], c.expect.Logs) })
	k.each("emission", c.expect.Emissions, len(out.Emissions), func(i int) any { return jsonOf(out.Emissions[i]) })
	k.ceilings(out, calls)
	return k.failures
}

func (k *checker) outcome(out *host.Outcome) {
	e := &k.c.expect
	switch {
	case out.Fault != nil && e.Fault != nil:
		got := jsonOf(out.Fault).(map[string]any)
		for _, m := range e.Fault.Members {
			// Of a message, the hint and the place it is enough to name a part.
			if said, ok := got[m.Key].(string); ok && m.Key != "kind" && m.Value.Kind == document.String && strings.Contains(said, m.Value.Text()) {
				got[m.Key] = m.Value.Text()
			}
		}
		k.match("the fault differs", e.Fault, got, false)
	case out.Fault != nil:
		k.fail(e.at, "it failed, and a result is wanted", "a result", out.Fault.Error())
	case e.Fault != nil:
		k.fail(e.Fault, "it did not fail", text(e.Fault.JSON()), string(out.Output))
	}
	if out.Fault != nil {
		return
	}
	result := decode(out.Output)
	if e.Result != nil {
		k.match("the result differs", e.Result, result, e.Exactly)
	}
	for path, want := range e.Paths {
		value, there, err := find(result, path)
		name, arg := matcher(want)
		switch absent := name == "$absent" && arg.Scalar != false; {
		case err != nil:
			k.fail(want, err.Error(), "", "")
		case absent == there:
			k.failures = append(k.failures, Failure{Where: want.Problem("", "").Where(), Message: "the result differs", Path: path, Want: text(want.JSON()), Got: textOr(value, there)})
		case there:
			for _, m := range match(want, value, path, e.Exactly) {
				k.failures = append(k.failures, Failure{Where: m.at.Problem("", "").Where(), Message: "the result differs", Path: m.path, Want: m.want, Got: m.got})
			}
		}
	}
}

func textOr(v any, there bool) string {
	if !there {
		return "nothing"
	}
	return text(v)
}

// jsonOf gives a value in its JSON form.
func jsonOf(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return decode(raw)
}

func (k *checker) calls(calls []tape.Exchange) {
	var performed, refused []any
	for i := range calls {
		seen := view(calls[i].Function, calls[i].Capability, calls[i].Request)
		seen["effect"] = string(calls[i].Effect)
		if !calls[i].Refused {
			performed = append(performed, seen)
			continue
		}
		var reply abi.Reply
		if json.Unmarshal(calls[i].Reply, &reply) == nil && reply.Fault != nil {
			seen["where"], seen["message"] = reply.Fault.Where, reply.Fault.Message
		}
		refused = append(refused, seen)
	}
	k.list("host call", k.c.expect.Calls, performed)
	k.list("refused host call", k.c.expect.Refused, refused)
}

// list holds a list against a number or a list of patterns.
func (k *checker) list(what string, want *document.Node, got []any) {
	switch {
	case want == nil:
	case want.Kind == document.Integer:
		if want.Scalar != int64(len(got)) {
			k.fail(want, "another number of "+what+"s", text(want.Scalar), fmt.Sprintf("%d: %s", len(got), briefly(got)))
		}
	case want.Kind == document.List && len(want.Items) != len(got):
		k.fail(want, "another number of "+what+"s", fmt.Sprint(len(want.Items)), fmt.Sprintf("%d: %s", len(got), briefly(got)))
	case want.Kind == document.List:
		for i, item := range want.Items {
			k.match(fmt.Sprintf("%s %d differs", what, i+1), item, got[i], false)
		}
	default:
		k.fail(want, "a number or a list of "+what+"s is expected here", "", "")
	}
}

// briefly lists calls for people.
func briefly(calls []any) string {
	list := make([]string, len(calls))
	for i, c := range calls {
		seen, _ := c.(map[string]any)
		list[i] = fmt.Sprint(seen["fn"])
		for _, name := range []string{"method", "url", "name", "statement", "address", "key"} {
			if v, ok := seen[name].(string); ok {
				list[i] += " " + v
			}
		}
	}
	return strings.Join(list, "; ")
}

// each demands that every pattern has something of its own.
func (k *checker) each(what string, patterns []*document.Node, n int, item func(int) any) {
	used := make([]bool, n)
	for _, p := range patterns {
		found := false
		for i := 0; i < n && !found; i++ {
			if !used[i] && (p.Kind == document.String && strings.Contains(text(item(i)), p.Text()) || p.Kind == document.Map && len(match(p, item(i), "$", false)) == 0) {
				used[i], found = true, true
			}
		}
		if !found {
			all := make([]any, n)
			for i := range n {
				all[i] = item(i)
			}
			k.fail(p, "there is no such "+what, text(p.JSON()), text(all))
		}
	}
}

// logView is a line as patterns see it: its message is enough where all of them are texts.
func logView(e abi.LogEntry, patterns []*document.Node) any {
	for _, p := range patterns {
		if p.Kind != document.String {
			return jsonOf(e)
		}
	}
	return e.Level + ": " + e.Message
}

func (k *checker) ceilings(out *host.Outcome, calls []tape.Exchange) {
	e := &k.c.expect
	bytes := 0
	for i := range calls {
		bytes += len(calls[i].Request) + len(calls[i].Reply)
	}
	for _, c := range []struct {
		name      string
		at        string
		most, got int64
	}{
		{"instructions", "fuel", e.AtMost.Fuel, out.Stats.Fuel}, {"bytes of memory", "memory", e.memory, out.Stats.Memory},
		{"bytes of the result", "output", e.output, int64(len(out.Output))}, {"bytes of requests and answers", "bytes", e.answer, int64(bytes)},
		{"host calls", "calls", int64(e.AtMost.Calls), int64(len(calls))},
	} {
		if c.most > 0 && c.got > c.most {
			k.fail(e.at.Get("at_most").Get(c.at), "too many "+c.name, fmt.Sprintf("at most %d", c.most), fmt.Sprint(c.got))
		}
	}
}
