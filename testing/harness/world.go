package harness

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// world is what a case talks to.
type world interface {
	// answer gives the answer to a call, or nil if it goes out.
	answer(seq int, call *tape.Call, request []byte) *hostcall.Answer
	// complain tells what was wrong with the calls, once the invocation is over.
	complain() []Failure
}

// remembering is a world that can be asked again: after a crash a call that was answered before is answered in the same way, as a vendor does that
// knows the key of a repetition.
type remembering struct {
	world
	said map[string]*hostcall.Answer
}

func (w *remembering) answer(seq int, call *tape.Call, request []byte) *hostcall.Answer {
	again := fmt.Sprintf("%d %s %s", seq, call.Function, call.Digest)
	a, ok := w.said[again]
	if !ok {
		a = w.world.answer(seq, call, request)
		w.said[again] = a
	}
	return a
}

// outside is the world itself.
type outside struct{}

func (outside) answer(int, *tape.Call, []byte) *hostcall.Answer { return nil }
func (outside) complain() []Failure                             { return nil }

func isKV(function string) bool { return strings.HasPrefix(function, "kv.") }

// stubbed answers from the stubs of a case. Values that it keeps are its own, unless stubs answer for them.
type stubbed struct {
	c        *Case
	used     map[*Stub]int
	failures []Failure
}

func newStubbed(c *Case) *stubbed { return &stubbed{c: c, used: map[*Stub]int{}} }

func (w *stubbed) answer(seq int, call *tape.Call, request []byte) *hostcall.Answer {
	seen := view(call.Function, call.Capability, request)
	var nearest []mismatch
	var near *Stub
	for _, s := range w.c.Stubs {
		if s.Function != call.Function || s.Times > 0 && w.used[s] >= s.Times {
			continue
		}
		if s.Match != nil {
			if differs := match(s.Match, seen, "$", false); len(differs) > 0 {
				if near == nil || len(differs) < len(nearest) {
					nearest, near = differs, s
				}
				continue
			}
		}
		w.used[s]++
		return &hostcall.Answer{Reply: s.Reply, Took: s.Took}
	}
	if isKV(call.Function) && near == nil {
		return nil
	}
	message := fmt.Sprintf("call %d has no stub: %s %s", seq, call.Function, request)
	where := w.c.root.Problem("", "").Where()
	if near != nil {
		where = near.at.Problem("", "").Where()
		for _, m := range nearest {
			message += fmt.Sprintf("; the nearest wants %s at %s, this has %s", m.want, m.path, m.got)
		}
	}
	w.failures = append(w.failures, Failure{Where: where, Message: message})
	return unavailable("no stub of the case answers this")
}

func unavailable(why string) *hostcall.Answer { return faulty(abi.NewFault(abi.Unavailable, why, "")) }

func faulty(f *abi.Fault) *hostcall.Answer {
	raw, err := plainJSON(abi.Reply{Fault: f})
	if err != nil {
		raw = []byte(`{"fault":{"kind":"internal","message":"a fault that cannot be written"}}`)
	}
	return &hostcall.Answer{Reply: raw}
}

func (w *stubbed) complain() []Failure {
	all := w.failures
	for _, s := range w.c.Stubs {
		switch n := w.used[s]; {
		case n == 0 && !s.Optional:
			all = append(all, Failure{Where: s.at.Problem("", "").Where(), Message: "nobody asked for this stub; optional: true says that this may be"})
		case s.Times > 0 && n < s.Times && !s.Optional:
			all = append(all, Failure{Where: s.at.Problem("", "").Where(), Message: "the stub was asked too seldom", Want: fmt.Sprint(s.Times), Got: fmt.Sprint(n)})
		}
	}
	return all
}

// taped answers from a tape.
type taped struct {
	at     string // place of the tape in the case
	replay *tape.Replay
	until  int // calls behind this one go out; 0: none does
	notes  []Failure
}

func (w *taped) answer(seq int, call *tape.Call, request []byte) *hostcall.Answer {
	if w.until > 0 && seq > w.until {
		return nil
	}
	x := w.replay.Match(seq, call)
	switch {
	case x != nil && !x.Open && x.Function == call.Function && x.Digest == call.Digest:
		return &hostcall.Answer{Reply: x.Reply, Took: x.Duration}
	case w.replay.Mode() == tape.Lenient:
		w.notes = append(w.notes, Failure{Where: w.at, Message: fmt.Sprintf("call %d is not on the tape: %s %s", seq, call.Function, request)})
		return faulty(&abi.Fault{Kind: abi.Refused, Message: "the tape has no such call", Where: "replay", Hint: "record it again"})
	}
	was := "nothing more"
	if x != nil {
		was = x.Asked()
	}
	return &hostcall.Answer{Stop: &abi.Fault{Kind: abi.Diverged, Message: fmt.Sprintf("call %d differs from the tape\n- %s\n+ %s %s", seq, was, call.Function, request),
		Where: w.at, Hint: "if the plugin is right, record the case again: riposte plugin test --record"}}
}

func (w *taped) complain() []Failure { return w.notes }

// Injection is a fault that a host call meets in place of its answer, or with it.
type Injection struct {
	Kind string // one of Injections
	At   int    // number of the call; 0 is each in turn
}

// Injections lists the kinds of faults that can be injected.
func Injections() []string { return []string{"refused", "timeout", "429", "500", "truncate", "slow"} }

// kind is the kind of fault that an action may end with when its call met the injection; empty for any.
func (i Injection) kind() abi.Kind {
	return map[string]abi.Kind{"refused": abi.Refused, "timeout": abi.Timeout, "429": abi.RateLimited, "500": abi.Unavailable}[i.Kind]
}

// slowness is how long a slow answer takes on the guest's clock.
const slowness = 10 * time.Second

// injected lets one call of a world go wrong.
type injected struct {
	world
	Injection
}

func (w *injected) answer(seq int, call *tape.Call, request []byte) *hostcall.Answer {
	if seq != w.At {
		return w.world.answer(seq, call, request)
	}
	http := call.Function == "http.fetch"
	switch w.Kind {
	case "refused":
		return faulty(&abi.Fault{Kind: abi.Refused, Message: "the test refuses this call", Where: "not_granted"})
	case "timeout":
		return faulty(abi.NewFault(abi.Timeout, "the other side did not answer in time", ""))
	case "429":
		if http {
			return responding(abi.HTTPResponse{Status: 429, Headers: map[string]string{"retry-after": "7", "content-type": "text/plain"}, Body: abi.Payload{Text: "too many requests"}})
		}
		return faulty(&abi.Fault{Kind: abi.RateLimited, Message: "too many requests", Retryable: true, RetryAfter: 7000})
	case "500":
		if http {
			return responding(abi.HTTPResponse{Status: 500, Headers: map[string]string{"content-type": "text/html"}, Body: abi.Payload{Text: "<html><h1>Internal Server Error</h1>"}})
		}
		return unavailable("the other side is failing")
	}
	a := w.world.answer(seq, call, request)
	if a == nil || a.Stop != nil {
		return a
	}
	changed := *a
	if w.Kind == "slow" {
		changed.Took += slowness
	} else {
		changed.Reply = truncated(call.Function, a.Reply)
	}
	return &changed
}

func responding(r abi.HTTPResponse) *hostcall.Answer {
	raw, err := plainJSON(struct {
		Value any `json:"value"`
	}{r})
	if err != nil {
		return unavailable(err.Error())
	}
	return &hostcall.Answer{Reply: raw}
}

// truncated cuts what a call brought in half.
func truncated(function string, reply json.RawMessage) json.RawMessage {
	var whole abi.Reply
	if json.Unmarshal(reply, &whole) != nil || whole.Fault != nil {
		return reply
	}
	var value any
	switch function {
	case "http.fetch":
		var r abi.HTTPResponse
		_ = json.Unmarshal(whole.Value, &r) // it was made of one
		r.Body = half(r.Body)
		value = r
	case "tcp.exchange":
		var r abi.TCPResponse
		_ = json.Unmarshal(whole.Value, &r)
		r.Received, r.Truncated = half(r.Received), true
		value = r
	case "sql.query":
		var r abi.SQLResponse
		_ = json.Unmarshal(whole.Value, &r)
		r.Rows, r.Truncated = r.Rows[:len(r.Rows)/2], true
		value = r
	case "dns.resolve":
		var r abi.DNSResponse
		_ = json.Unmarshal(whole.Value, &r)
		r.Records = r.Records[:len(r.Records)/2]
		value = r
	default:
		return reply
	}
	raw, err := plainJSON(map[string]any{"value": value})
	if err != nil {
		return reply
	}
	return raw
}

func half(p abi.Payload) abi.Payload {
	return abi.Payload{Text: strings.ToValidUTF8(p.Text[:len(p.Text)/2], ""), Base64: p.Base64[:len(p.Base64)/2]}
}

// Crash is a process that dies within a case, and goes on from what its tape holds.
type Crash struct {
	When tape.Kind // tape.BeginKind: before the answer is on the tape; tape.EndKind: right behind it
	At   int       // number of the call; 0 is each in turn
}

// dying is the tape of a process that dies.
type dying struct {
	tape.Memory
	Crash
	mu   sync.Mutex
	dead bool
}

// Append keeps entries up to the moment of the death.
func (l *dying) Append(e tape.Entry, durable bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := e.Seq == l.At && e.Kind == tape.EndKind
	if l.dead || ends && l.When == tape.BeginKind {
		l.dead = true
		return abi.NewFault(abi.Cancelled, "the process dies here", "")
	}
	l.dead = ends
	return l.Memory.Append(e, durable)
}
