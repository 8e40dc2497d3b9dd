package sink

import (
	"fmt"
	"net/http"
	"strings"
)

// FaultKind is a way to misbehave.
type FaultKind string

// The kinds of faults.
const (
	Answer FaultKind = "answer" // answer Reply (status, delay, redirect, Retry-After in its header)
	Drop   FaultKind = "drop"   // take the request, wait Reply.DelayMS, hang up without an answer
	Cut    FaultKind = "cut"    // answer Reply but hang up before the body's last byte
)

// Fault is one misbehaviour, armed with Fail or POST /faults. The request is remembered all the same: a sink that took a request and
// never said so is what idempotency keys are for.
type Fault struct {
	Kind   FaultKind `json:"kind"`
	Method string    `json:"method,omitempty"` // "" is any
	Path   string    `json:"path,omitempty"`   // prefix of the path; "" is any
	Times  int       `json:"times,omitempty"`  // 0: until cleared
	Reply  Reply     `json:"reply,omitzero"`
}

// Fail checks f and arms it.
func (s *Server) Fail(f Fault) error {
	switch f.Kind {
	case Answer, Drop, Cut:
	default:
		return fmt.Errorf("kind: %q is unknown; expected answer, drop or cut", f.Kind)
	}
	if st := f.Reply.Status; st != 0 && (st < 200 || st > 599) {
		return fmt.Errorf("reply.status: %d; expected 200 to 599", st)
	}
	s.faults.Add(f, f.Times)
	s.armed.Store(true)
	return nil
}

func (f Fault) matches(r *http.Request) bool {
	return (f.Method == "" || f.Method == r.Method) && strings.HasPrefix(r.URL.Path, f.Path)
}
