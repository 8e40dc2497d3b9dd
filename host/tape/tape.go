// Package tape records what one invocation asked of the host and what it was answered: canonical JSON lines, chained by their hashes. A tape
// is a test fixture, evidence, the means to go on after a crash, and the proof that a replay gives the same.
package tape

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Kind is what an entry says.
type Kind string

// The kinds of entries.
const (
	HeaderKind Kind = "header" // what runs; the first entry
	BeginKind  Kind = "begin"  // a call was authorised and is about to be performed
	EndKind    Kind = "end"    // its answer; alone, without a begin, it is a refusal
	// OutcomeKind is how the invocation ended. One that went on after it, because its process died before anybody knew, has a later one that counts.
	OutcomeKind Kind = "outcome"
)

// InlineLimit is the size in bytes above which a request or a reply becomes a blob.
const InlineLimit = 4 << 10

// Entry is one line.
type Entry struct {
	// Prev is the digest of the line before, empty for the first. A Log sets it.
	Prev   string  `json:"prev"`
	Kind   Kind    `json:"kind"`
	Header *Header `json:"header,omitempty"`
	// Seq counts the calls of the invocation, from 1.
	Seq int `json:"seq,omitempty"`
	// Call is set in a begin, and in the end of a refusal.
	Call *Call `json:"call,omitempty"`
	// Reply is the abi.Reply as the guest got it, redacted; in an end.
	Reply *Body `json:"reply,omitempty"`
	// Duration is how long the call took, in nanoseconds; the guest's clock goes on by it, in a replay too.
	Duration time.Duration `json:"duration_ns,omitempty"`
	Outcome  *Outcome      `json:"outcome,omitempty"`

	// Blobs are the contents that Body.Blob names, by digest. They are stored beside the line.
	Blobs map[string][]byte `json:"-"`
}

// Header says what runs: with equal headers and replies an invocation gives equal results.
type Header struct {
	Invocation string `json:"invocation"`
	Key        string `json:"key"` // of the invocation; the keys of its writes come from it
	Plugin     string `json:"plugin"`
	Action     string `json:"action"`
	Module     string `json:"module,omitempty"` // digests …
	Meter      string `json:"meter,omitempty"`
	Manifest   string `json:"manifest,omitempty"`
	Grant      string `json:"grant,omitempty"`
	Settings   string `json:"settings,omitempty"`
	Input      string `json:"input,omitempty"`
	// Document is the input: the abi.Call, in which no secrets are. A replay needs nothing else but the module.
	Document *Body             `json:"document,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"` // versions, by reference
	Seed     uint64            `json:"seed"`
	Start    time.Time         `json:"start"`
}

// Call is what was asked.
type Call struct {
	Function   string     `json:"fn"`
	Capability string     `json:"capability,omitempty"`
	Effect     abi.Effect `json:"effect,omitempty"`
	// Digest is that of the request before redaction, so that a replay without the secrets compares equal.
	Digest string `json:"digest"`
	// Key goes with a write, so that a repetition can be known as one.
	Key string `json:"key,omitempty"`
	// Summary says in one line what is asked, without a query or a secret.
	Summary string `json:"summary,omitempty"`
	Request *Body  `json:"request,omitempty"` // redacted
}

// Outcome is how an invocation ended. A replay must come to an equal one.
type Outcome struct {
	Output string     `json:"output,omitempty"` // digest of the result
	Fault  *abi.Fault `json:"fault,omitempty"`  // in place of a result
	// Logs and Emissions are digests of what the guest logged and emitted, in order and, as with Call.Digest, before redaction; empty for nothing.
	Logs      string `json:"logs,omitempty"`
	Emissions string `json:"emissions,omitempty"`
	Fuel      int64  `json:"fuel,omitempty"` // instructions, as Header.Meter counts them
	// Cut says that the guest was stopped from outside, at its deadline or by a person: a replay goes on from there.
	Cut bool `json:"cut,omitempty"`
}

// Body is a JSON document: inline, or as the digest of a blob.
type Body struct {
	Inline json.RawMessage `json:"inline,omitempty"`
	Blob   string          `json:"blob,omitempty"`
	Size   int             `json:"size,omitempty"` // of the blob, in bytes
}

// NewBody takes a document, which is JSON, into an entry: as a blob if it is over InlineLimit.
func (e *Entry) NewBody(document []byte) *Body {
	if len(document) <= InlineLimit {
		return &Body{Inline: oneLine(document)}
	}
	digest := Digest(document)
	if e.Blobs == nil {
		e.Blobs = map[string][]byte{}
	}
	e.Blobs[digest] = document
	return &Body{Blob: digest, Size: len(document)}
}

// Document gives the bytes of a body of this entry, or nil if its blob is not there.
func (e *Entry) Document(b *Body) []byte {
	switch {
	case b == nil:
		return nil
	case b.Blob != "":
		return e.Blobs[b.Blob]
	}
	return b.Inline
}

// Log keeps the entries of one invocation. Append with durable returns when the entry and all before it are on disk. Recorded gives what an
// earlier attempt at the same invocation left, with its blobs, and nothing that this one appended.
type Log interface {
	Append(e Entry, durable bool) error
	Recorded() []Entry
}

// Digest is "sha256:" and the hexadecimal hash of data.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	text := append(make([]byte, 0, len("sha256:")+2*len(sum)), "sha256:"...)
	return string(hex.AppendEncode(text, sum[:]))
}

// WriteKey is the key of the write seq of an invocation: the same in every attempt at it, and 32 hexadecimal characters.
func WriteKey(invocation string, seq int) string {
	text := append(append(make([]byte, 0, 128), invocation...), '/')
	sum := sha256.Sum256(strconv.AppendInt(text, int64(seq), 10))
	return hex.EncodeToString(sum[:16])
}

// Chain makes the lines of a tape. The zero value begins one.
type Chain struct{ prev string }

// Append sets e.Prev and appends the entry to b, as a line without its end. After an error b is as it was.
func (c *Chain) Append(b []byte, e *Entry) ([]byte, error) {
	e.Prev = c.prev
	more, err := appendEntry(b, e)
	if err != nil {
		return b, fmt.Errorf("tape: %w", err)
	}
	c.prev = Digest(more[len(b):])
	return more, nil
}

// Line sets e.Prev and gives the entry as a line with its end.
func (c *Chain) Line(e *Entry) ([]byte, error) {
	line, err := c.Append(make([]byte, 0, usualLine), e)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}

// Follow goes on behind an entry that was read, if it names the digest of the line before it; it gives the entry as Line does.
func (c *Chain) Follow(e *Entry) ([]byte, error) {
	if e.Prev != c.prev {
		return nil, fmt.Errorf("the chain is broken: it names %q as the line before, which is %q", e.Prev, c.prev)
	}
	return c.Line(e)
}

// Memory is a Log in memory. The zero value is empty; it may be used concurrently.
type Memory struct {
	mu       sync.Mutex
	recorded []Entry
	entries  []Entry
	chain    Chain
	line     []byte // the last; its room serves again
}

// Resume gives a Log for replay-then-live: what was recorded is answered from it, and not done again; behind its end calls are performed and
// recorded. So an invocation goes on after a crash; with the first calls of a tape (Upto) it is performed anew from there on.
func Resume(recorded []Entry) *Memory {
	m := &Memory{recorded: recorded}
	for i := range recorded {
		e := recorded[i]
		if _, err := m.chain.Line(&e); err != nil {
			continue // an entry that was read from a tape can be written
		}
	}
	return m
}

// Append keeps the entry.
func (m *Memory) Append(e Entry, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if m.line, err = m.chain.Append(m.line[:0], &e); err != nil {
		return err
	}
	m.entries = append(m.entries, e)
	return nil
}

// Recorded gives what Resume was given.
func (m *Memory) Recorded() []Entry { return m.recorded }

// Entries gives everything: what was recorded and what was appended.
func (m *Memory) Entries() []Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append(m.recorded[:len(m.recorded):len(m.recorded)], m.entries...)
}

// HeaderOf gives the header of a tape, and the input that it holds; nil for what is not there.
func HeaderOf(recorded []Entry) (*Header, []byte) {
	if len(recorded) == 0 || recorded[0].Header == nil {
		return nil, nil
	}
	return recorded[0].Header, recorded[0].Document(recorded[0].Header.Document)
}

// OutcomeOf gives how the invocation of a tape ended, or nil: it has not, or its tape is of a time when outcomes were not recorded.
func OutcomeOf(recorded []Entry) *Outcome {
	for i := len(recorded) - 1; i >= 0; i-- {
		if o := recorded[i].Outcome; o != nil {
			return o
		}
	}
	return nil
}
