// Package mssql answers like Microsoft SQL Server for the lab: TDS 7.4 as [MS-TDS] describes it, with or without TLS, with logins, SQL
// batches and sp_executesql over tables in memory. Everybody may only read. On demand it delays, fails, hangs, and breaks off.
//
// [MS-TDS]: https://learn.microsoft.com/openspecs/windows_protocols/ms-tds
package mssql

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// Login is a user of the server.
type Login struct {
	User     string
	Password string
	Tables   []string // those it may read, as "dbo.assets"; nil is all
}

// Options of a server.
type Options struct {
	Addr     string                // "" is 127.0.0.1 and any port
	Database string                // its only database; "" is cmdb
	Tables   map[string]tsql.Table // by "schema.name", or "name" in schema dbo
	Logins   []Login
	// TLS offers encryption of everything, with a certificate made at the start, see CertificatePEM. RequireTLS offers it too, and
	// hangs up on clients that do not take it.
	TLS, RequireTLS bool
	Now             func() time.Time // time.Now if nil; used for the logs and the certificate
	Keep            int              // how many queries and logins are kept; 0 is rig.DefaultKeep
}

// SeenLogin is an attempt to log in.
type SeenLogin struct {
	Time     time.Time `json:"time"`
	User     string    `json:"user"`
	Host     string    `json:"host"`
	App      string    `json:"app"`
	Database string    `json:"database"`
	TLS      bool      `json:"tls"`
	Error    int32     `json:"error,omitempty"` // 18456, 4060 …
	Fault    FaultKind `json:"fault,omitempty"`
}

// Seen is one batch or procedure call.
type Seen struct {
	Time      time.Time      `json:"time"`
	User      string         `json:"user"`
	Procedure string         `json:"procedure,omitempty"` // sp_executesql, or another; "" is a batch
	SQL       string         `json:"sql"`
	Params    map[string]any `json:"params,omitempty"` // by name, with the @
	Rows      int            `json:"rows"`             // of all results
	Error     int32          `json:"error,omitempty"`  // the number that was answered
	Message   string         `json:"message,omitempty"`
	Fault     FaultKind      `json:"fault,omitempty"`
}

// State is what the control page shows.
type State struct {
	Addr    string             `json:"addr"`
	Total   int                `json:"total"` // queries
	Queries []Seen             `json:"queries"`
	Logins  []SeenLogin        `json:"logins"`
	Faults  []rig.Armed[Fault] `json:"faults"`
}

// Server answers until it is closed.
type Server struct {
	opts    Options
	db      *tsql.Database
	logins  map[string]Login
	tls     *tls.Config // nil: no encryption
	certPEM []byte
	tcp     *rig.TCP
	queries rig.Log[Seen]
	entries rig.Log[SeenLogin]
	faults  rig.Faults[Fault]
}

// Start serves opts; a row that does not fit its table is an error that names it.
func Start(opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{opts: opts, logins: make(map[string]Login)}
	s.queries.Keep(opts.Keep)
	s.entries.Keep(opts.Keep)
	for _, l := range opts.Logins {
		s.logins[l.User] = l
	}
	var err error
	if s.db, err = tsql.NewDatabase(cmp.Or(opts.Database, "cmdb"), opts.Tables); err != nil {
		return nil, fmt.Errorf("mssql: %w", err)
	}
	if opts.TLS || opts.RequireTLS {
		cert, certPEM, err := rig.Certificate(opts.Now())
		if err != nil {
			return nil, fmt.Errorf("mssql: certificate: %w", err)
		}
		s.certPEM = certPEM
		// TDS 7.4 wraps the handshake in its packets, and nothing after it. A TLS 1.3 server sends tickets after the client's end
		// of the handshake, which then nobody knows how to wrap; SQL Server, too, speaks 1.2 with TDS 7.4.
		s.tls = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	}
	if s.tcp, err = rig.ListenTCP(opts.Addr, s.serve); err != nil {
		return nil, fmt.Errorf("mssql: %w", err)
	}
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.tcp.Addr() }

// CertificatePEM is the server's certificate, for the roots of a client; nil without TLS.
func (s *Server) CertificatePEM() []byte { return s.certPEM }

// Close breaks all connections and waits for their goroutines.
func (s *Server) Close() error { return s.tcp.Close() }

// Queries gives the batches and calls, oldest first.
func (s *Server) Queries() []Seen { return s.queries.All() }

// Logins gives the attempts to log in, oldest first.
func (s *Server) Logins() []SeenLogin { return s.entries.All() }

// Wait returns when n queries came since the last Reset, or with ctx's error.
func (s *Server) Wait(ctx context.Context, n int) error { return s.queries.Wait(ctx, n) }

// State gives a State.
func (s *Server) State() any {
	return State{s.Addr(), s.queries.Total(), s.queries.All(), s.entries.All(), s.faults.List()}
}

// Clear disarms all faults.
func (s *Server) Clear() { s.faults.Clear() }

// Reset forgets all queries and logins and disarms all faults.
func (s *Server) Reset() {
	s.queries.Reset()
	s.entries.Reset()
	s.faults.Clear()
}

// Control is the server's control page, see rig.Control.
func (s *Server) Control() http.Handler {
	return rig.Control[Fault]{State: s.State, Fail: s.Fail, Wait: s.Wait, Armed: &s.faults, Reset: s.Reset}.Handler()
}
