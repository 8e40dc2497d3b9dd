package mssql

import (
	"fmt"
	"strings"

	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
)

// FaultKind is a way to misbehave.
type FaultKind string

// The kinds of faults.
const (
	Delay   FaultKind = "delay"   // the right answer after DelayMS; a client may cancel meanwhile
	Hang    FaultKind = "hang"    // no answer; a client may cancel
	Drop    FaultKind = "drop"    // hang up without an answer; the query ran
	Cut     FaultKind = "cut"     // hang up in the middle of the answer
	Raise   FaultKind = "error"   // answer the error Number (1205, a deadlock, if 0) with Class and Text
	Garbage FaultKind = "garbage" // answer bytes that are no tokens
)

// Fault is one misbehaviour, armed with Fail or POST /faults.
type Fault struct {
	Kind    FaultKind `json:"kind"`
	On      string    `json:"on,omitempty"`       // "query" or "login"; "" is query
	Match   string    `json:"match,omitempty"`    // part of the SQL text, on login of the user; "" is any
	Times   int       `json:"times,omitempty"`    // 0: until cleared
	DelayMS int       `json:"delay_ms,omitempty"` // before whatever happens
	Number  int32     `json:"number,omitempty"`
	Class   uint8     `json:"class,omitempty"` // severity 1 to 25; 0 is 16, of 1205 it is 13; 20 and more: the server hangs up as well
	Text    string    `json:"text,omitempty"`
}

// Fail checks f and arms it.
func (s *Server) Fail(f Fault) error {
	switch f.Kind {
	case Delay, Hang, Drop, Cut, Raise, Garbage:
	default:
		return fmt.Errorf("kind: %q is unknown; expected delay, hang, drop, cut, error or garbage", f.Kind)
	}
	if f.On != "" && f.On != "query" && f.On != "login" {
		return fmt.Errorf("on: %q; expected query or login", f.On)
	}
	if f.Class > 25 {
		return fmt.Errorf("class: %d; expected at most 25", f.Class)
	}
	s.faults.Add(f, f.Times)
	return nil
}

func (s *Server) fault(on, text string) (Fault, bool) {
	return s.faults.Take(func(f Fault) bool {
		return (f.On == on || f.On == "" && on == "query") && strings.Contains(strings.ToLower(text), strings.ToLower(f.Match))
	})
}

// raised is the error that a fault of kind error answers.
func (f Fault) raised() *tsql.Error {
	e := &tsql.Error{Number: f.Number, Class: f.Class, State: 1, Line: 1, Message: f.Text}
	if e.Number == 0 || e.Number == 1205 {
		e.Number, e.State = 1205, 45
		if e.Class == 0 {
			e.Class = 13
		}
		if e.Message == "" {
			e.Message = "Transaction (Process ID 51) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction."
		}
	}
	if e.Class == 0 {
		e.Class = 16
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("Error %d, raised by the lab.", e.Number)
	}
	return e
}
