package smtpsink

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"
)

// Stage is the command at which something happened.
type Stage string

// The stages.
const (
	AtAuth Stage = "auth" // refusals only; no fault
	AtMail Stage = "mail"
	AtRcpt Stage = "rcpt"
	AtData Stage = "data" // after the message came whole
)

// FaultKind is a way to misbehave.
type FaultKind string

// The kinds of faults.
const (
	Refuse     FaultKind = "refuse"      // 550, or Code
	TempFail   FaultKind = "tempfail"    // 451, or Code
	Greylist   FaultKind = "greylist"    // 451 to every new pair of sender and recipient, once
	Drop       FaultKind = "drop"        // hang up; at "data" the message is not accepted
	AcceptDrop FaultKind = "accept_drop" // accept the message, hang up before the answer; the client must wonder
	Delay      FaultKind = "delay"       // wait DelayMS, then go on
)

// Fault is one misbehaviour, armed with Fail or POST /faults.
type Fault struct {
	Kind    FaultKind `json:"kind"`
	Stage   Stage     `json:"stage,omitempty"` // mail, rcpt or data; "": rcpt for refuse, tempfail, greylist; data for the others
	Match   string    `json:"match,omitempty"` // part of a recipient, at "mail" of the sender; "" is any
	Times   int       `json:"times,omitempty"` // 0: until cleared
	Code    int       `json:"code,omitempty"`  // 400 to 599
	Text    string    `json:"text,omitempty"`
	DelayMS int       `json:"delay_ms,omitempty"` // before whatever happens
}

// Fail checks f and arms it. Arming a greylist forgets who was sent away before.
func (s *Server) Fail(f Fault) error {
	switch f.Kind {
	case Refuse, TempFail, Drop, Delay:
	case Greylist:
		s.mu.Lock()
		clear(s.greylisted)
		s.mu.Unlock()
	case AcceptDrop:
		if f.stage() != AtData {
			return fmt.Errorf("stage: %q; accept_drop happens at data only", f.Stage)
		}
	default:
		return fmt.Errorf("kind: %q is unknown; expected refuse, tempfail, greylist, drop, accept_drop or delay", f.Kind)
	}
	switch f.Stage {
	case "", AtMail, AtRcpt, AtData:
	default:
		return fmt.Errorf("stage: %q is unknown; expected mail, rcpt or data", f.Stage)
	}
	if f.Code != 0 && (f.Code < 400 || f.Code > 599) {
		return fmt.Errorf("code: %d; expected 400 to 599", f.Code)
	}
	s.faults.Add(f, f.Times)
	return nil
}

func (f Fault) stage() Stage {
	switch f.Kind {
	case Refuse, TempFail, Greylist:
		return cmp.Or(f.Stage, AtRcpt)
	}
	return cmp.Or(f.Stage, AtData)
}

func (f Fault) matches(from string, to []string) bool {
	if f.stage() == AtMail {
		to = []string{from}
	}
	for _, a := range to {
		if strings.Contains(strings.ToLower(a), strings.ToLower(f.Match)) {
			return true
		}
	}
	return false
}

// answer is the reply of a refusing fault.
func (f Fault) answer() *smtp.SMTPError {
	e := answer(451, 4, 3, 0, "Requested action aborted: local error in processing")
	switch f.Kind {
	case Refuse:
		e = answer(550, 5, 1, 1, "Mailbox unavailable")
	case Greylist:
		e = answer(451, 4, 7, 1, "Greylisted, please try again later")
	}
	if f.Code != 0 {
		e.Code = f.Code
		e.EnhancedCode[0] = f.Code / 100
	}
	e.Message = cmp.Or(f.Text, e.Message)
	return e
}
