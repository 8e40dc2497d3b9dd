package mssql_test

import (
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	driver "github.com/microsoft/go-mssqldb"
	"github.com/riposte-soar/riposte/testing/lab/mssql"
	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var seenAt = time.Date(2031, 2, 3, 4, 5, 6, 7_000_000, time.UTC)

func options() mssql.Options {
	return mssql.Options{
		Tables: map[string]tsql.Table{"dbo.assets": {
			Columns: []tsql.Column{
				{Name: "ip", Type: tsql.NVarChar}, {Name: "hostname", Type: tsql.NVarChar}, {Name: "owner", Type: tsql.NVarChar},
				{Name: "id", Type: tsql.Int}, {Name: "serial", Type: tsql.BigInt}, {Name: "critical", Type: tsql.Bit},
				{Name: "seen", Type: tsql.DateTime}, {Name: "score", Type: tsql.Float}, {Name: "notes", Type: tsql.NVarChar},
			},
			Rows: [][]any{
				{"10.20.30.40", "ws-0140.corp.test", "alice.jones@corp.test", 1, 1 << 40, true, seenAt, 0.5, strings.Repeat("é", 5000)},
				{"10.20.30.41", "fin-0007.corp.test", "bob.meyer@corp.test", 2, 2, false, seenAt.Add(time.Hour), 1.5, nil},
				{"10.20.31.7", "srv-build-02.corp.test", "carol.diaz@corp.test", 3, nil, nil, nil, nil, ""},
			},
		}, "hr.salaries": {Columns: []tsql.Column{{Name: "amount", Type: tsql.Int}}}},
		Logins: []mssql.Login{{User: "riposte_ro", Password: "Geheim#1é", Tables: []string{"dbo.assets"}}},
	}
}

func start(t *testing.T, o mssql.Options) *mssql.Server {
	t.Helper()
	s, err := mssql.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// open gives a database whose connections use these settings on top of the usual ones.
func open(t *testing.T, s *mssql.Server, settings ...string) *sql.DB {
	t.Helper()
	q := url.Values{"database": {"cmdb"}, "encrypt": {"disable"}, "dial timeout": {"5"}}
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword("riposte_ro", "Geheim#1é"), Host: s.Addr()}
	for i := 0; i < len(settings); i += 2 {
		if settings[i] == "password" {
			u.User = url.UserPassword("riposte_ro", settings[i+1])
			continue
		}
		q.Set(settings[i], settings[i+1])
	}
	u.RawQuery = q.Encode()
	db, err := sql.Open("sqlserver", u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// number is the error that the server answered, 0 if it was none of its.
func number(err error) int32 {
	var e driver.Error
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

func TestParametersAndTypes(t *testing.T) {
	s := start(t, options())
	db := open(t, s)
	var (
		host, notes string
		id          int
		serial      int64
		critical    bool
		seen        time.Time
		score       float64
	)
	err := db.QueryRowContext(t.Context(), "SELECT TOP 1 hostname, id, serial, critical, seen, score, notes FROM dbo.assets WHERE ip = @ip AND critical = @c AND serial = @big AND id <= @id AND seen <= @when AND score < @f",
		sql.Named("ip", "10.20.30.40"), sql.Named("c", true), sql.Named("big", int64(1)<<40), sql.Named("id", int32(1)),
		sql.Named("when", driver.DateTime1(seenAt)), sql.Named("f", 0.75)).Scan(&host, &id, &serial, &critical, &seen, &score, &notes)
	if err != nil {
		t.Fatal(err)
	}
	if host != "ws-0140.corp.test" || id != 1 || serial != 1<<40 || !critical || score != 0.5 || notes != strings.Repeat("é", 5000) {
		t.Errorf("%q %d %d %v %v %d bytes of notes", host, id, serial, critical, score, len(notes))
	}
	if d := seen.Sub(seenAt).Abs(); d > 2*time.Millisecond { // datetime counts in 1/300 seconds
		t.Errorf("seen %v, want %v", seen, seenAt)
	}
	q := s.Queries()
	if len(q) != 1 || q[0].Procedure != "sp_executesql" || q[0].User != "riposte_ro" || q[0].Rows != 1 || q[0].Error != 0 {
		t.Fatalf("seen %+v", q)
	}
	p := q[0].Params
	if p["@ip"] != "10.20.30.40" || p["@c"] != true || p["@big"] != int64(1)<<40 || p["@id"] != int64(1) || p["@f"] != 0.75 {
		t.Errorf("params %v", p)
	}
}

func TestEveryTypeOfParameterArrives(t *testing.T) {
	s := start(t, options())
	db := open(t, s)
	long := strings.Repeat("x", 5000)
	zone := time.FixedZone("", 2*60*60)
	for i, c := range []struct{ in, want any }{
		{"text", "text"}, {driver.VarChar("ascii"), "ascii"}, {long, long}, {driver.VarCharMax(long), long}, {int64(-5), int64(-5)},
		{int16(300), int64(300)}, {true, true}, {1.25, 1.25}, {float32(0.5), 0.5}, {nil, nil}, {[]byte{1, 2}, []byte{1, 2}},
		{seenAt.In(zone), seenAt}, {driver.DateTimeOffset(seenAt), seenAt}, {driver.DateTime1(time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)), time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)},
		{sql.NullString{}, nil}, {sql.NullInt64{Int64: 7, Valid: true}, int64(7)},
	} {
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM assets WHERE @p1 IS NULL", c.in).Scan(new(int)); err != nil {
			t.Fatalf("%T: %v", c.in, err)
		}
		got := s.Queries()[i].Params["@p1"]
		if at, ok := got.(time.Time); ok {
			if want := c.want.(time.Time); !at.Equal(want) {
				t.Errorf("%T %v arrived as %v", c.in, c.in, got)
			}
			continue
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || fmt.Sprintf("%T", got) != fmt.Sprintf("%T", c.want) {
			t.Errorf("%T %.20v arrived as %T %.20v", c.in, c.in, got, got)
		}
	}
}

func TestBatchesNullsAndSeveralResults(t *testing.T) {
	s := start(t, options())
	db := open(t, s)
	rows, err := db.QueryContext(t.Context(), "SET NOCOUNT ON; SELECT serial, critical, seen, score, notes FROM assets WHERE id >= 2 ORDER BY id; SELECT COUNT(*) AS n FROM assets")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for {
		cols, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join(cols, ","))
		for rows.Next() {
			vals, into := make([]any, len(cols)), make([]any, len(cols))
			for i := range vals {
				into[i] = &vals[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(vals...))
		}
		if !rows.NextResultSet() {
			break
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := "serial,critical,seen,score,notes|2 false 2031-02-03 05:05:06.007 +0000 UTC 1.5 <nil>|<nil> <nil> <nil> <nil>|n|3"
	if g := strings.ReplaceAll(strings.Join(got, "|"), "<nil> |", "<nil>|"); g != want {
		t.Errorf("got  %q\nwant %q", g, want)
	}
	if q := s.Queries(); q[0].Procedure != "" || q[0].Rows != 3 {
		t.Errorf("seen %+v", q)
	}
}

func TestErrorsReachTheClient(t *testing.T) {
	s := start(t, options())
	db := open(t, s)
	for text, want := range map[string]int32{
		"SELECT * FROM dbo.nothing":                       208,
		"SELECT nothing FROM dbo.assets":                  207,
		"SELECT * FROM dbo.assets WHERE ip = ":            102,
		"SELECT * FROM hr.salaries":                       229,
		"INSERT INTO dbo.assets (ip) VALUES (@p1)":        229,
		"UPDATE dbo.assets SET owner = @p1":               229,
		"DELETE FROM dbo.assets WHERE ip = @p1":           229,
		"SELECT hostname FROM assets WHERE ip = @missing": 137,
	} {
		if _, err := db.ExecContext(t.Context(), text, "x"); number(err) != want {
			t.Errorf("%s with a parameter: %v, want %d", text, err, want)
		}
		if !strings.Contains(text, "@p1") {
			if _, err := db.ExecContext(t.Context(), text); number(err) != want {
				t.Errorf("%s: %v, want %d", text, err, want)
			}
		}
	}
	if _, err := db.ExecContext(t.Context(), "sp_who"); number(err) != 2812 {
		t.Errorf("an unknown procedure: %v", err)
	}
	q := s.Queries()
	if q[0].Error == 0 || q[0].Message == "" {
		t.Errorf("seen %+v", q[0])
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("after all errors: %v", err)
	}
	if n := len(s.Logins()); n != 1 {
		t.Errorf("%d logins, want 1: errors must not cost the connection", n)
	}
}

func TestPreparedStatementsAndTransactions(t *testing.T) {
	s := start(t, options())
	db := open(t, s)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := tx.PrepareContext(t.Context(), "SELECT hostname FROM assets WHERE ip = @ip")
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{"10.20.30.41": "fin-0007.corp.test", "10.20.31.7": "srv-build-02.corp.test"} {
		var host string
		if err := st.QueryRowContext(t.Context(), sql.Named("ip", ip)).Scan(&host); err != nil || host != want {
			t.Errorf("%s: %q %v", ip, host, err)
		}
	}
	if err := st.QueryRowContext(t.Context(), sql.Named("ip", "10.20.40.99")).Scan(new(string)); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("not in the inventory: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	tx, err = db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

func TestLogins(t *testing.T) {
	s := start(t, options())
	if err := open(t, s, "password", "wrong").PingContext(t.Context()); number(err) != 18456 {
		t.Errorf("wrong password: %v", err)
	}
	if err := open(t, s, "database", "payroll").PingContext(t.Context()); number(err) != 18456 && number(err) != 4060 {
		t.Errorf("unknown database: %v", err)
	}
	if err := open(t, s, "app name", "riposte").PingContext(t.Context()); err != nil {
		t.Errorf("right password: %v", err)
	}
	if err := open(t, s, "encrypt", "true").PingContext(t.Context()); err == nil {
		t.Error("a client that insists on encryption got a connection")
	}
	l := s.Logins()
	if len(l) != 3 || l[0].Error != 18456 || l[1].Error != 4060 || l[2].Error != 0 || l[2].App != "riposte" || l[2].User != "riposte_ro" || l[2].TLS {
		t.Errorf("logins %+v", l)
	}
	if b, err := json.Marshal(s.State()); err != nil || strings.Contains(string(b), "wrong") || strings.Contains(string(b), "Geheim") {
		t.Errorf("a password is in the state: %s %v", b, err)
	}
}

func TestTLS(t *testing.T) {
	o := options()
	o.RequireTLS = true
	s := start(t, o)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, s.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	var host string
	for _, encrypt := range []string{"true", "false"} {
		db := open(t, s, "encrypt", encrypt, "certificate", file, "hostnameincertificate", "localhost", "packet size", "512")
		if err := db.QueryRowContext(t.Context(), "SELECT hostname FROM assets WHERE ip = @p1 AND notes LIKE '%'", "10.20.30.40").Scan(&host); err != nil || host != "ws-0140.corp.test" {
			t.Errorf("encrypt=%s: %q %v", encrypt, host, err)
		}
	}
	if err := open(t, s, "encrypt", "true", "TrustServerCertificate", "false").PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the certificate: %v", err)
	}
	if err := open(t, s).PingContext(t.Context()); err == nil {
		t.Error("a client without TLS got a connection")
	}
	if l := s.Logins(); len(l) != 2 || !l[0].TLS || !l[1].TLS {
		t.Errorf("logins %+v", l)
	}
	if b, _ := pem.Decode(s.CertificatePEM()); b == nil || b.Type != "CERTIFICATE" {
		t.Error("no certificate")
	}
}

func TestOtherProtocolsAreSentAway(t *testing.T) {
	s := start(t, options())
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "\x12\x01\x00\x08\x00\x00\x00\x00", "\x12\x01\x00\x04", "\x10\x01\x00\x09\x00\x00\x00\x00x"} {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("%q was answered %q", text, b)
		}
		_ = c.Close()
	}
}

func TestControlPage(t *testing.T) {
	s := start(t, options())
	db := open(t, s)
	h := s.Control()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/faults", strings.NewReader(`{"kind":"error","number":1205,"match":"assets","times":1,"delay_ms":1}`)))
	if w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT id FROM assets").Scan(new(int)); number(err) != 1205 {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/state?min=1&wait=5s", nil))
	var st mssql.State
	if err := json.NewDecoder(w.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	if st.Total != 1 || st.Queries[0].Error != 1205 || st.Logins[0].User != "riposte_ro" || st.Faults[0].Hits != 1 {
		t.Errorf("%+v", st)
	}
	s.Clear()
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func BenchmarkQuery(b *testing.B) {
	s, err := mssql.Start(options())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("sqlserver", "sqlserver://riposte_ro:"+url.QueryEscape("Geheim#1é")+"@"+s.Addr()+"?database=cmdb&encrypt=disable")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for b.Loop() {
		if err := db.QueryRow("SELECT hostname, owner FROM dbo.assets WHERE ip = @p1", "10.20.30.41").Scan(new(string), new(string)); err != nil {
			b.Fatal(err)
		}
	}
}
