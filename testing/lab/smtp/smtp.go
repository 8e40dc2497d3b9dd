// Package smtpsink is a mail relay for the lab: it takes mail over SMTP (RFC 5321), with STARTTLS and AUTH PLAIN if asked, delivers
// none of it, and shows every message decoded, every refusal, and which message came twice. On demand it refuses, greylists, or takes
// a message and hangs up before it says so.
package smtpsink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// Options of a relay.
type Options struct {
	Addr   string            // "" is 127.0.0.1 and any port
	Domain string            // the name in the greeting; "" is mail.corp.test
	Users  map[string]string // user to password for AUTH PLAIN; empty: AUTH is not offered
	// RequireAuth refuses mail (530) of those who did not log in.
	RequireAuth bool
	// TLS offers STARTTLS with a certificate made at the start, see CertificatePEM. RequireTLS offers it too, and refuses mail (530)
	// and AUTH without it.
	TLS, RequireTLS bool
	ImplicitTLS     bool             // TLS from the first byte, as on port 465 (RFC 8314)
	MaxBytes        int64            // of a message; 0 is 4 MiB
	Now             func() time.Time // time.Now if nil; used for the log and the certificate
	Keep            int              // how many messages and refusals are kept; 0 is 1,000
}

// Refusal is a command that was answered with an error.
type Refusal struct {
	Time    time.Time `json:"time"`
	Stage   Stage     `json:"stage"`
	From    string    `json:"mail_from"`
	To      string    `json:"rcpt_to,omitempty"` // the recipient that was refused, or all, joined by commas
	Code    int       `json:"code"`              // 0: hung up
	Message string    `json:"message"`
	Fault   FaultKind `json:"fault,omitempty"`
}

// State is what the control page shows.
type State struct {
	Addr       string             `json:"addr"`
	Total      int                `json:"total"`      // messages that came whole
	Accepted   int                `json:"accepted"`   // of them stored
	Duplicates int                `json:"duplicates"` // of them stored although one with this Message-ID was stored before
	Messages   []Message          `json:"messages"`
	Refusals   []Refusal          `json:"refusals"`
	Faults     []rig.Armed[Fault] `json:"faults"`
}

// Server takes mail until it is closed.
type Server struct {
	opts     Options
	srv      *smtp.Server
	ln       *listener
	certPEM  []byte
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	messages rig.Log[Message]
	refusals rig.Log[Refusal]
	faults   rig.Faults[Fault]

	mu         sync.Mutex
	attempts   map[string]*tally  // by Message-ID
	greylisted map[[2]string]bool // sender and recipient that were sent away once
	accepted   int
	duplicates int
}

// tally counts the arrivals of one Message-ID.
type tally struct{ came, accepted int }

// Start serves opts.
func Start(opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{opts: opts, attempts: make(map[string]*tally), greylisted: make(map[[2]string]bool)}
	s.messages.Keep(cmp.Or(opts.Keep, 1000))
	s.refusals.Keep(cmp.Or(opts.Keep, 1000))
	s.srv = smtp.NewServer(smtp.BackendFunc(s.session))
	s.srv.Domain = cmp.Or(opts.Domain, "mail.corp.test")
	s.srv.MaxMessageBytes = cmp.Or(opts.MaxBytes, 4<<20)
	s.srv.MaxRecipients = 1000
	s.srv.ReadTimeout, s.srv.WriteTimeout = 5*time.Minute, 5*time.Minute // RFC 5321, 4.5.3.2
	s.srv.AllowInsecureAuth = !opts.RequireTLS
	s.srv.EnableSMTPUTF8 = true
	s.srv.ErrorLog = log.New(io.Discard, "", 0) // clients that hang up are the lab's daily bread
	if opts.TLS || opts.RequireTLS || opts.ImplicitTLS {
		cert, certPEM, err := rig.Certificate(opts.Now())
		if err != nil {
			return nil, fmt.Errorf("smtp: certificate: %w", err)
		}
		s.certPEM = certPEM
		s.srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	var err error
	if s.ln, err = listen(opts.Addr); err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var from net.Listener = s.ln
	if opts.ImplicitTLS {
		from = tls.NewListener(s.ln, s.srv.TLSConfig)
	}
	s.wg.Go(func() { _ = s.srv.Serve(from) }) // ends when the listener is closed
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// CertificatePEM is the certificate that TLS shows, for the roots of a client; nil without TLS.
func (s *Server) CertificatePEM() []byte { return s.certPEM }

// Close breaks all connections and waits for their goroutines.
func (s *Server) Close() error {
	s.cancel()
	err := s.ln.Close()
	s.wg.Wait() // no connection is accepted from here on
	// Shutdown waits for the connections; the error is that of a listener that is closed already.
	_ = s.srv.Shutdown(context.Background())
	return err
}

// Messages gives what came, accepted or refused after its data, oldest first.
func (s *Server) Messages() []Message { return s.messages.All() }

// Refusals gives what was answered with an error, oldest first.
func (s *Server) Refusals() []Refusal { return s.refusals.All() }

// Wait returns when n messages came since the last Reset, accepted or not, or with ctx's error.
func (s *Server) Wait(ctx context.Context, n int) error { return s.messages.Wait(ctx, n) }

// State gives a State.
func (s *Server) State() any {
	s.mu.Lock()
	accepted, duplicates := s.accepted, s.duplicates
	s.mu.Unlock()
	return State{s.Addr(), s.messages.Total(), accepted, duplicates, s.messages.All(), s.refusals.All(), s.faults.List()}
}

// Reset forgets all messages, refusals and greylisted senders, and disarms all faults.
func (s *Server) Reset() {
	s.mu.Lock()
	clear(s.attempts)
	clear(s.greylisted)
	s.accepted, s.duplicates = 0, 0
	s.mu.Unlock()
	s.messages.Reset()
	s.refusals.Reset()
	s.faults.Clear()
}

// Clear disarms all faults.
func (s *Server) Clear() { s.faults.Clear() }

// Control is the server's control page, see rig.Control.
func (s *Server) Control() http.Handler {
	return rig.Control[Fault]{State: s.State, Fail: s.Fail, Armed: &s.faults, Reset: s.Reset, Wait: s.Wait}.Handler()
}

// maxIDs bounds how many Message-IDs are remembered.
const maxIDs = 1 << 20

// count notes one more arrival of the Message-ID and says which it is, from 1 up.
func (s *Server) count(id string, accepted bool) (attempt int, duplicate bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if accepted {
		s.accepted++
	}
	t := s.attempts[id]
	if id == "" || t == nil && len(s.attempts) == maxIDs {
		return 1, false
	}
	if t == nil {
		t = new(tally)
		s.attempts[id] = t
	}
	t.came++
	if accepted {
		t.accepted++
		duplicate = t.accepted > 1
	}
	if duplicate {
		s.duplicates++
	}
	return t.came, duplicate
}

// refuse logs an error answer and gives it to the library.
func (s *Server) refuse(stage Stage, from string, to []string, e *smtp.SMTPError, f FaultKind) error {
	s.refusals.Add(Refusal{s.opts.Now(), stage, from, strings.Join(to, ","), e.Code, e.Message, f})
	return e
}

// errHungUp ends a session whose connection is gone.
var errHungUp = errors.New("hung up")
