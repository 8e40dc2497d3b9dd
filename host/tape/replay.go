package tape

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Mode says how near to its tape a replay must keep. In each of them input, identity, clock and randomness are those of the tape, and nothing is
// performed.
type Mode string

// The modes of a replay.
const (
	// Exact is the invocation as it was: the same module makes the same calls in the same order.
	Exact Mode = "exact"
	// Strict lets another build of the plugin, or another plugin, make the same calls in the same order.
	Strict Mode = "strict"
	// Lenient lets it make the calls of the tape in any order, each as often as the tape has it, and leave some out. Any other call is refused, and
	// the plugin may go on.
	Lenient Mode = "lenient"
)

// Replay is a Log that only answers from what was recorded. It serves one invocation, and holds the tape that this one made; Compare sets the two
// side by side.
type Replay struct {
	mode     Mode
	recorded []Entry
	past     []Exchange

	mu     sync.Mutex
	equal  map[string][]int // lenient: indexes of past, by function and digest, that have not been used
	played []Entry
}

// NewReplay makes a replay of a tape.
func NewReplay(recorded []Entry, mode Mode) *Replay {
	r := &Replay{mode: mode, recorded: recorded, past: Exchanges(recorded)}
	if mode == Lenient {
		r.equal = map[string][]int{}
		for i := range r.past {
			if x := &r.past[i]; !x.Open {
				r.equal[x.identity()] = append(r.equal[x.identity()], i)
			}
		}
	}
	return r
}

// ReplayOf gives the replay that a log is, or nil. With one, nothing may be performed.
func ReplayOf(l Log) *Replay {
	r, _ := l.(*Replay)
	return r
}

// Mode is how near to its tape the replay must keep.
func (r *Replay) Mode() Mode { return r.mode }

// Recorded gives the tape.
func (r *Replay) Recorded() []Entry { return r.recorded }

// Append always fails: whoever would record something would perform it.
func (r *Replay) Append(e Entry, _ bool) error {
	asked := "something"
	if e.Call != nil {
		asked = fmt.Sprintf("%s %.500s", e.Call.Function, e.Document(e.Call.Request))
	}
	return &abi.Fault{Kind: abi.Diverged, Message: fmt.Sprintf("call %d asks %s, but the tape has no such call", e.Seq, asked)}
}

// Match finds what the tape holds for a call, of which Function and Digest must be set; nil for nothing. What is there may be another call, but in
// a lenient replay.
func (r *Replay) Match(seq int, call *Call) *Exchange {
	if r.mode != Lenient {
		if seq > len(r.past) {
			return nil
		}
		return &r.past[seq-1]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := identity(call.Function, call.Digest)
	list := r.equal[asked]
	if len(list) == 0 {
		return nil
	}
	r.equal[asked] = list[1:]
	return &r.past[list[0]]
}

// Note keeps an entry of the tape that the replay makes.
func (r *Replay) Note(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.played = append(r.played, e)
}

// Played gives the tape that the replay made.
func (r *Replay) Played() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.played[:len(r.played):len(r.played)]
}

// Compare sets what was recorded and what the replay did side by side.
func (r *Replay) Compare() Comparison { return Compare(r.recorded, r.Played()) }

// Replayable says why a tape cannot be executed again with a module, or gives nil. An empty digest stands for any module.
func Replayable(recorded []Entry, module string) *abi.Fault {
	head, document := HeaderOf(recorded)
	switch {
	case head == nil:
		return abi.NewFault(abi.NotFound, "the tape has no header: it does not say what ran", "a tape begins with an entry of kind header")
	case head.Document == nil:
		return abi.NewFault(abi.NotFound, "the tape is of a time when the input was not recorded: it can be read and verified, but not executed again", "")
	case document == nil:
		return abi.NewFault(abi.NotFound, "the input of the invocation is not there: the blob "+head.Document.Blob+" is missing", "keep the folder blobs beside the tape")
	case Digest(document) != head.Input:
		return abi.NewFault(abi.Conflict, "the input on the tape is not the one that its header names", "the tape was changed")
	case module != "" && head.Module != module:
		return abi.NewFault(abi.Conflict, "the tape is of the module "+head.Module+", not of "+module, "install the plugin as it was, or do not ask for an exact replay")
	}
	return nil
}

// Exchange is one call of a tape: what was asked, and what was answered.
type Exchange struct {
	Seq        int             `json:"seq"`
	Function   string          `json:"fn"`
	Capability string          `json:"capability,omitempty"`
	Effect     abi.Effect      `json:"effect,omitempty"`
	Digest     string          `json:"digest"` // of the request before redaction
	Key        string          `json:"key,omitempty"`
	Summary    string          `json:"summary,omitempty"`
	Request    json.RawMessage `json:"request,omitempty"` // redacted; nil if it was no JSON, or its blob is not there
	Reply      json.RawMessage `json:"reply,omitempty"`   // an abi.Reply; nil if there is none, or its blob is not there
	Blob       string          `json:"blob,omitempty"`    // digest of a large reply
	Duration   time.Duration   `json:"duration_ns,omitempty"`
	Refused    bool            `json:"refused,omitempty"` // it was never begun
	Open       bool            `json:"open,omitempty"`    // it never ended: the process died within it
}

func identity(function, digest string) string { return function + " " + digest }

func (x *Exchange) identity() string { return identity(x.Function, x.Digest) }

// Asked tells the request: as it was, or at least in one line.
func (x *Exchange) Asked() string {
	if x.Request != nil {
		return x.Function + " " + string(x.Request)
	}
	return x.Function + " " + x.Summary
}

// Exchanges lists the calls of a tape, in order: that with the number n is at n-1.
func Exchanges(entries []Entry) []Exchange {
	list := make([]Exchange, 0, len(entries)/2)
	for i := range entries {
		e := &entries[i]
		if e.Kind != BeginKind && e.Kind != EndKind {
			continue
		}
		if c := e.Call; c != nil {
			list = append(list, Exchange{Seq: e.Seq, Function: c.Function, Capability: c.Capability, Effect: c.Effect, Digest: c.Digest, Key: c.Key,
				Summary: c.Summary, Request: e.Document(c.Request), Refused: e.Kind == EndKind, Open: true})
		}
		if e.Kind == EndKind && len(list) > 0 {
			x := &list[len(list)-1]
			x.Reply, x.Duration, x.Open = e.Document(e.Reply), e.Duration, false
			if e.Reply != nil {
				x.Blob = e.Reply.Blob
			}
		}
	}
	return list
}

// Upto gives what is on disk of a tape when the process dies right after call n has begun (BeginKind) or ended (EndKind). With n = 0 that is the
// header alone; beyond the last call it is everything.
func Upto(recorded []Entry, n int, kind Kind) []Entry {
	seq := 0
	for i := range recorded {
		e := &recorded[i]
		if e.Seq > n || e.Seq == n && kind == BeginKind && e.Kind == EndKind || e.Kind == OutcomeKind && n <= seq {
			return recorded[:i:i]
		}
		seq = e.Seq
	}
	return recorded
}
