package hostcall

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// SessionOptions describe one invocation of an action.
type SessionOptions struct {
	ID        string          // of the invocation
	Key       string          // of the work it does, the same in every attempt; the keys of its writes come from it
	Namespace string          // of its kv values: the connector; empty is the plugin's name
	Manifest  *abi.Manifest   // not changed afterwards
	Action    string          // its name in the manifest
	Settings  json.RawMessage // of the connector, with references to secrets
	Grant     capability.Grant
	Services  *Services
	Tape      tape.Log // nil keeps no record
	MaxCalls  int      // host calls but for log and emit; 0 is without limit
	Peer      Peer     // nil in production
}

// Session carries out the host calls of one invocation.
type Session struct {
	o    SessionOptions
	plan *plan

	mu       sync.Mutex
	seq      int
	elapsed  time.Duration
	recorded []tape.Exchange
	replay   *tape.Replay // nil if calls may be performed
	fault    *abi.Fault
	secrets  []held // those of plan.secrets, once they were asked for
	redactor *secret.Redactor
	output   output
}

// NewSession works out the rights of an invocation. A replay has none: what was authorised is on its tape, and its settings are those that the
// guest saw. A required setting that is missing, or a mistake in manifest, settings or grant, is a fault of kind invalid.
func NewSession(o SessionOptions) (*Session, *abi.Fault) {
	if o.Tape == nil {
		o.Tape = unrecorded{}
	}
	if o.Namespace == "" {
		o.Namespace = o.Manifest.Plugin
	}
	if replay := tape.ReplayOf(o.Tape); replay != nil {
		return &Session{o: o, plan: &plan{action: o.Manifest.Actions[o.Action], guest: o.Settings}, replay: replay}, nil
	}
	p, fault := o.Services.planFor(o)
	if fault != nil {
		return nil, fault
	}
	return &Session{o: o, plan: p, recorded: tape.Exchanges(o.Tape.Recorded())}, nil
}

// unrecorded stands for the tape of an invocation that has none.
type unrecorded struct{}

// Append implements tape.Log.
func (unrecorded) Append(tape.Entry, bool) error { return nil }

// Recorded implements tape.Log.
func (unrecorded) Recorded() []tape.Entry { return nil }

// GuestSettings are the connector's settings without its secrets.
func (s *Session) GuestSettings() json.RawMessage { return s.plan.guest }

// Logs gives what the guest logged.
func (s *Session) Logs() []abi.LogEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.logs
}

// Emissions gives what the guest found for the incident.
func (s *Session) Emissions() []Emission {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.emissions
}

// Left gives digests of what the guest logged and emitted, as they are in a tape.Outcome.
func (s *Session) Left() (logs, emissions string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.logged.digest(), s.output.emitted.digest()
}

// Calls is the number of host calls, without log and emit.
func (s *Session) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// Elapsed is how long the host calls took in all; in a replay how long they took when they were recorded. The guest's clock goes on by it.
func (s *Session) Elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.elapsed
}

// Fault is set when the invocation must end with it, whatever the guest makes of it: the replay diverged, a write is in doubt after a
// crash, or the tape cannot be written. Every later call gives it too.
func (s *Session) Fault() *abi.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Describe fills in the parts of a tape's header that the session knows: invocation, key, plugin, action, digests of grant and settings,
// versions of secrets.
func (s *Session) Describe(ctx context.Context, h *tape.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.Invocation, h.Key, h.Plugin, h.Action = s.o.ID, s.o.Key, s.o.Manifest.Plugin, s.o.Action
	h.Settings, h.Grant = s.plan.settingsDigest, s.plan.grantDigest
	s.resolveSecrets(ctx)
	for i, value := range s.secrets {
		if !value.ok {
			continue
		}
		if h.Secrets == nil {
			h.Secrets = map[string]string{}
		}
		h.Secrets[string(s.plan.secrets[i].ref)] = value.Version()
	}
}

// Close forgets the secrets. The session must not be called afterwards.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets, s.redactor = nil, nil
	s.fault = abi.NewFault(abi.Internal, "the session is closed", "")
}

// operation is one host call whose request was read.
type operation interface {
	// capability gives kind and id of the requirement that it falls under.
	capability() (kind, id string)
	// summary says in one line what is asked, without a query. It is called once, before authorise.
	summary() string
	// authorise decides, and gives the effect of this very request; empty is that of the action.
	authorise(r *capability.Right) (abi.Effect, *abi.Fault)
	// perform does it. key goes with a write. The answer is redacted by the dispatcher.
	perform(ctx context.Context, s *Session, g granted, key string) (any, *abi.Fault)
}

// parse reads the request of a function that needs a capability, and gives its document too: the request as its digest takes it, which the guest
// does not write to.
func (s *Services) parse(fn string, request []byte) (op operation, document []byte, fault *abi.Fault) {
	switch fn {
	case "http.fetch":
		op, document, fault = s.readFetch(request)
	case "dns.resolve":
		r := &resolve{}
		op = r
		document, fault = s.read(request, &r.DNSRequest)
	case "tcp.exchange":
		x := &exchange{}
		op = x
		document, fault = s.read(request, &x.TCPRequest)
	case "sql.query":
		q := &query{}
		op = q
		document, fault = s.read(request, &q.SQLRequest)
	case "mail.send":
		m := &send{}
		op = m
		document, fault = s.read(request, &m.MailRequest)
	case "kv.get", "kv.put", "kv.delete":
		k := &keep{verb: strings.TrimPrefix(fn, "kv.")}
		op = k
		document, fault = s.read(request, &k.KVRequest)
	default:
		fault = abi.NewFault(abi.NotFound, "there is no host function "+fn, "")
	}
	if fault != nil {
		document = slices.Clone(request) // what the guest wrote goes onto the tape
	}
	return op, document, fault
}

// MaxRequest bounds the JSON of one request, in bytes.
const MaxRequest = 16 << 20

// Oversized gives the reply to a request that is longer than MaxRequest, or than anything that its function takes, or nil. Such a request is not read,
// and not on the tape.
func Oversized(fn string, request []byte) []byte {
	most := MaxRequest
	switch kind, _, _ := strings.Cut(fn, "."); kind {
	case "kv":
		most = maxValue + inJSON*maxKey + besideTexts
	case "dns":
		most = besideTexts
	}
	if len(request) <= most {
		return nil
	}
	return reply(nil, abi.NewFault(abi.TooLarge, fmt.Sprintf("the request has more than %d bytes, the most that %s takes", most, fn), ""))
}

// Call carries out a host function, such as "http.fetch", and gives an abi.Reply as JSON. A refusal is a reply like any other.
func (s *Session) Call(ctx context.Context, fn string, request []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return reply(nil, s.fault)
	}
	if no := Oversized(fn, request); no != nil {
		return no
	}
	if fn == "log.write" || strings.HasPrefix(fn, "emit.") {
		return s.take(fn, request)
	}
	if s.o.MaxCalls > 0 && s.seq >= s.o.MaxCalls {
		return reply(nil, abi.NewFault(abi.Limit, fmt.Sprintf("the limit of %d host calls is reached", s.o.MaxCalls), "the manifest may ask for more, in limits.host_calls"))
	}
	s.seq++
	op, document, fault := s.o.Services.parse(fn, request)
	call := &tape.Call{Function: fn, Digest: tape.Digest(document)}
	if fault == nil {
		_, call.Capability = op.capability()
		call.Summary = op.summary()
	}
	if s.replay != nil {
		return s.replayed(call, document)
	}
	if s.seq <= len(s.recorded) {
		return s.again(ctx, &s.recorded[s.seq-1], op, call, document, fault)
	}
	isJSON := fault == nil // since it was read and written again
	g, fault := s.authorise(op, call, fault)
	s.resolveSecrets(ctx)
	entry := tape.Entry{Kind: tape.BeginKind, Seq: s.seq, Call: call}
	call.Summary = s.redactor.String(call.Summary)
	if masked := s.redactor.Bytes(document); isJSON && bytes.Equal(masked, document) || json.Valid(masked) {
		call.Request = entry.NewBody(masked)
	}
	if fault != nil {
		return s.refuse(entry, fault)
	}
	if fault := s.record(entry, call.Effect.Writes()); fault != nil {
		return reply(nil, fault)
	}
	return s.perform(ctx, op, g, call, document)
}

// authorise decides whether the call may be made, and completes it by effect and key.
func (s *Session) authorise(op operation, call *tape.Call, fault *abi.Fault) (granted, *abi.Fault) {
	if fault != nil {
		return granted{}, fault
	}
	kind, id := op.capability()
	if kind == "kv" {
		id = s.plan.kv
		call.Capability = id
	}
	g, ok := s.plan.rights[id]
	switch {
	case !ok:
		return g, refused(capability.NotAsked, fmt.Sprintf("the plugin does not ask for a capability %q of kind %s", id, kind))
	case g.fault != nil:
		return g, g.fault
	case g.right.Kind != kind:
		return g, refused(capability.NotAsked, fmt.Sprintf("capability %q is of kind %s, not %s", id, g.right.Kind, kind))
	}
	effect, fault := op.authorise(g.right)
	if fault != nil {
		return g, fault
	}
	if effect == "" {
		effect = s.plan.action.Effect
		if effect == abi.Pure {
			effect = abi.Read
		}
	}
	// What a plugin keeps for itself in kv is no effect on the world that its action would have to own up to.
	if kind != "kv" && capability.Rank(effect) > capability.Rank(s.plan.action.Effect) {
		return g, refused(capability.NotAsked, fmt.Sprintf("action %s has the effect %s, this call has %s", s.o.Action, s.plan.action.Effect, effect))
	}
	call.Effect = effect
	if effect.Writes() {
		call.Key = tape.WriteKey(s.o.Key, s.seq)
	}
	return g, nil
}

// refuse records a refusal, which is an end without a begin.
func (s *Session) refuse(entry tape.Entry, fault *abi.Fault) []byte {
	answer := s.redact(reply(nil, fault))
	entry.Kind = tape.EndKind
	entry.Reply = entry.NewBody(answer)
	if fault := s.record(entry, false); fault != nil {
		return reply(nil, fault)
	}
	return answer
}

// perform does what was authorised and begun, and records its end.
func (s *Session) perform(ctx context.Context, op operation, g granted, call *tape.Call, document []byte) []byte {
	if s.o.Peer != nil {
		if a := s.o.Peer(ctx, s.seq, call, document); a != nil {
			return s.heard(a, call)
		}
	}
	start := s.o.Services.o.Now()
	value, fault := op.perform(ctx, s, g, call.Key)
	duration := max(s.o.Services.o.Now().Sub(start), 0)
	return s.end(call.Effect, s.redact(reply(value, fault)), duration)
}

func (s *Session) end(effect abi.Effect, answer []byte, duration time.Duration) []byte {
	s.elapsed += duration
	entry := tape.Entry{Kind: tape.EndKind, Seq: s.seq, Duration: duration}
	entry.Reply = entry.NewBody(answer)
	// The end of a write that must not be repeated is made sure of, so that a crash a moment later does not leave it in doubt.
	if fault := s.record(entry, effect == abi.Unsafe); fault != nil {
		return reply(nil, fault)
	}
	return answer
}

// record appends to the tape; a session whose tape cannot be written does nothing more.
func (s *Session) record(e tape.Entry, durable bool) *abi.Fault {
	err := s.o.Tape.Append(e, durable)
	if err == nil {
		return nil
	}
	fault := abi.AsFault(err)
	if fault.Kind == abi.Internal {
		fault = abi.NewFault(abi.Internal, "the tape cannot be written", "")
		s.o.Services.o.Log.Error("tape cannot be written", "invocation", s.o.ID, "error", err)
	}
	s.fault = fault
	return fault
}

// redact masks echoes of secrets in a reply.
func (s *Session) redact(answer []byte) []byte {
	masked := s.redactor.Bytes(answer)
	if !bytes.Equal(masked, answer) && !json.Valid(masked) {
		return reply(nil, abi.NewFault(abi.Failed, "the answer echoes a secret in a way that cannot be masked", ""))
	}
	return masked
}

// setting gives a setting as text.
func (s *Session) setting(name string) (string, *abi.Fault) {
	v, ok := s.plan.settings.Lookup(name)
	text, isText := v.(string)
	if !ok || !isText {
		return "", &abi.Fault{Kind: abi.Refused, Message: "the setting " + name + " is not set", Hint: "complete the connector's settings"}
	}
	return text, nil
}
