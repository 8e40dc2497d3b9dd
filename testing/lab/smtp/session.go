package smtpsink

import (
	"crypto/subtle"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// session is one connection between its greeting and its end.
type session struct {
	s    *Server
	conn *smtp.Conn
	user string
	from string
	to   []string
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	return &session{s: s, conn: c}, nil
}

// AuthMechanisms is part of smtp.AuthSession.
func (ss *session) AuthMechanisms() []string {
	if len(ss.s.opts.Users) == 0 {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth is part of smtp.AuthSession.
func (ss *session) Auth(string) (sasl.Server, error) {
	if len(ss.s.opts.Users) == 0 {
		return nil, smtp.ErrAuthUnsupported
	}
	return sasl.NewPlainServer(func(_, user, password string) error {
		want, ok := ss.s.opts.Users[user]
		if !ok || subtle.ConstantTimeCompare([]byte(want), []byte(password)) != 1 {
			return ss.s.refuse(AtAuth, user, nil, answer(535, 5, 7, 8, "Authentication credentials invalid"), "")
		}
		ss.user = user
		return nil
	}), nil
}

// Mail is part of smtp.Session.
func (ss *session) Mail(from string, _ *smtp.MailOptions) error {
	ss.from, ss.to = from, nil
	if _, secure := ss.conn.TLSConnectionState(); ss.s.opts.RequireTLS && !secure {
		return ss.s.refuse(AtMail, from, nil, answer(530, 5, 7, 0, "Must issue a STARTTLS command first"), "")
	}
	if ss.s.opts.RequireAuth && ss.user == "" {
		return ss.s.refuse(AtMail, from, nil, answer(530, 5, 7, 0, "Authentication required"), "")
	}
	_, err := ss.fault(AtMail, nil)
	return ss.done(err)
}

// Rcpt is part of smtp.Session.
func (ss *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if _, err := ss.fault(AtRcpt, []string{to}); err != nil {
		return ss.done(err)
	}
	ss.to = append(ss.to, to)
	return nil
}

// Data is part of smtp.Session.
func (ss *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // too large, or the client left
	}
	m := parse(raw)
	m.Time, m.MailFrom, m.RcptTo, m.User, m.Helo = ss.s.opts.Now(), ss.from, append([]string(nil), ss.to...), ss.user, ss.conn.Hostname()
	_, m.TLS = ss.conn.TLSConnectionState()
	m.Fault, err = ss.fault(AtData, ss.to)
	m.Accepted = err == nil || m.Fault == AcceptDrop
	m.Code = 250
	if err != nil {
		m.Code = 0
		var reply *smtp.SMTPError
		if errors.As(err, &reply) {
			m.Code = reply.Code
		}
	}
	m.Attempt, m.Duplicate = ss.s.count(m.MessageID, m.Accepted)
	ss.s.messages.Add(m)
	return ss.done(err)
}

// done hangs up if that is what err says; what the library writes from there on goes nowhere. It comes last, so that a client
// that sees the end finds everything noted.
func (ss *session) done(err error) error {
	if errors.Is(err, errHungUp) {
		_ = ss.conn.Conn().Close()
	}
	return err
}

// fault takes the first armed fault of this stage, waits as it says, notes the refusal, and says what is to be answered.
func (ss *session) fault(at Stage, to []string) (FaultKind, error) {
	s := ss.s
	f, hit := s.faults.Take(func(f Fault) bool { return f.stage() == at && f.matches(ss.from, to) && s.greets(f, ss.from, to) })
	if !hit {
		return "", nil
	}
	if rig.Sleep(s.ctx, rig.Milliseconds(f.DelayMS)) != nil {
		return f.Kind, errHungUp
	}
	switch f.Kind {
	case Refuse, TempFail, Greylist:
		return f.Kind, s.refuse(at, ss.from, to, f.answer(), f.Kind)
	case Drop, AcceptDrop:
		_ = s.refuse(at, ss.from, to, answer(0, 0, 0, 0, "hung up"), f.Kind)
		return f.Kind, errHungUp
	}
	return f.Kind, nil // Delay
}

// greets says whether f applies to this sender and recipient: a greylist sends a pair away once.
func (s *Server) greets(f Fault, from string, to []string) bool {
	if f.Kind != Greylist {
		return true
	}
	pair := [2]string{strings.ToLower(from), strings.ToLower(strings.Join(to, ","))}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.greylisted[pair]
	s.greylisted[pair] = true
	return !known
}

// Reset is part of smtp.Session.
func (ss *session) Reset() { ss.from, ss.to = "", nil }

// Logout is part of smtp.Session.
func (ss *session) Logout() error { return nil }

func answer(code, a, b, c int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text}
}
