package hostcall

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	dnssim "github.com/riposte-soar/riposte/testing/lab/dns"
	"github.com/riposte-soar/riposte/testing/lab/mssql"
	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
	smtpsink "github.com/riposte-soar/riposte/testing/lab/smtp"
)

// started closes a server of the lab at the test's end.
func started[S io.Closer](t *testing.T, server S, err error) S {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestResolveNames(t *testing.T) {
	records := []dnssim.Record{{Name: "www.corp.test", Type: "A", Value: "203.0.113.7", TTL: 60}, {Name: "alias.corp.test", Type: "CNAME", Value: "WWW.corp.test"},
		{Name: "corp.test", Type: "MX", Value: "10 mail.corp.test."}, {Name: "corp.test", Type: "TXT", Value: `say "hi"`}, {Name: "corp.test", Type: "NS", Value: "ns.corp.test."},
		dnssim.Reverse(netip.MustParseAddr("10.1.2.3"), "ws-3.corp.test"), dnssim.Reverse(netip.MustParseAddr("2001:db8::1"), "v6.corp.test")}
	for i := range 200 {
		records = append(records, dnssim.Record{Name: "many.corp.test", Type: "A", Value: fmt.Sprintf("203.0.113.%d", i)})
	}
	server, err := dnssim.Start(dnssim.Options{Records: records})
	started(t, server, err)
	b := newBench(t, abi.Requirement{ID: "names", Kind: "dns", Reason: "r", Names: []string{"*"}, Types: []string{"A", "MX", "TXT", "PTR", "CNAME", "NS"}, Server: server.Addr()})
	b.grant["names"] = capability.Narrowing{Deny: []string{"192.168.0.0/16", "*.hidden.test"}}
	s := b.session()
	ask := func(name, kind string) (abi.DNSResponse, *abi.Fault) {
		return call[abi.DNSResponse](t, s, "dns.resolve", abi.DNSRequest{Capability: "names", Name: name, Type: kind})
	}
	for _, c := range []struct{ name, kind, rcode, want string }{
		{"WWW.corp.test.", "A", "NOERROR", "www.corp.test A 203.0.113.7"},
		{"corp.test", "MX", "NOERROR", "corp.test MX 10 mail.corp.test"},
		{"corp.test", "TXT", "NOERROR", `corp.test TXT say "hi"`},
		{"corp.test", "NS", "NOERROR", "corp.test NS ns.corp.test"},
		{"alias.corp.test", "CNAME", "NOERROR", "alias.corp.test CNAME www.corp.test"},
		{"10.1.2.3", "PTR", "NOERROR", "3.2.1.10.in-addr.arpa PTR ws-3.corp.test"},
		{"3.2.1.10.in-addr.arpa", "PTR", "NOERROR", "3.2.1.10.in-addr.arpa PTR ws-3.corp.test"},
		{"2001:db8::1", "PTR", "NOERROR", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR v6.corp.test"},
		{"none.corp.test", "A", "NXDOMAIN", ""},
	} {
		got, fault := ask(c.name, c.kind)
		text := ""
		for _, r := range got.Records {
			text += strings.TrimSpace(r.Name + " " + r.Type + " " + r.Value)
		}
		if fault != nil || got.RCode != c.rcode || text != c.want {
			t.Errorf("%s %s: got %s %q, %v", c.name, c.kind, got.RCode, text, fault)
		}
	}
	if got, fault := ask("many.corp.test", "A"); fault != nil || len(got.Records) != 200 {
		t.Errorf("what fits TCP only: %d records, %v", len(got.Records), fault)
	}
	for _, c := range []struct {
		name, kind string
		want       abi.Kind
	}{{"192.168.1.1", "PTR", abi.Refused}, {"1.1.168.192.in-addr.arpa", "PTR", abi.Refused}, {"x.hidden.test", "A", abi.Refused}, {"www.corp.test", "AAAA", abi.Refused},
		{"10.1.2.3", "A", abi.Invalid}, {"a b", "A", abi.Refused}} {
		if _, fault := ask(c.name, c.kind); fault == nil || fault.Kind != c.want {
			t.Errorf("%s %s: %v", c.name, c.kind, fault)
		}
	}
	if err := server.Fail(dnssim.Fault{Kind: dnssim.ServFail, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if got, fault := ask("www.corp.test", "A"); fault != nil || got.RCode != "SERVFAIL" {
		t.Errorf("%v %v", got, fault)
	}
	if err := server.Fail(dnssim.Fault{Kind: dnssim.Timeout}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, fault := callContext[any](t, ctx, s, "dns.resolve", abi.DNSRequest{Capability: "names", Name: "www.corp.test", Type: "A"}); fault == nil || fault.Kind != abi.Timeout {
		t.Errorf("no answer: %v", fault)
	}
}

func TestSystemResolver(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("# no servers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, abi.Requirement{ID: "names", Kind: "dns", Reason: "r", Names: []string{"*"}, Types: []string{"A"}})
	b.services.ResolvConf = conf
	if _, fault := call[any](t, b.session(), "dns.resolve", abi.DNSRequest{Capability: "names", Name: "www.corp.test", Type: "A"}); fault == nil || fault.Kind != abi.Unavailable || fault.Hint == "" {
		t.Errorf("got %v", fault)
	}
}

func TestExchange(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	started(t, listener, err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			if line == "hang\r\n" {
				_, _ = io.Copy(io.Discard, conn)
			}
			_, _ = io.WriteString(conn, "you asked "+line)
			_ = conn.Close()
		}
	}()
	b := newBench(t, abi.Requirement{ID: "whois", Kind: "tcp", Reason: "r", Addresses: []string{"127.0.0.1:" + strings.Split(listener.Addr().String(), ":")[1]}})
	b.manifest.Actions["act"] = abi.Action{Effect: abi.Read, Uses: []string{"whois"}}
	s := b.session()
	request := abi.TCPRequest{Capability: "whois", Address: listener.Addr().String(), Send: abi.Payload{Text: "203.0.113.9\r\n"}}
	if got, fault := call[abi.TCPResponse](t, s, "tcp.exchange", request); fault != nil || got.Received.Text != "you asked 203.0.113.9\r\n" || got.Truncated {
		t.Errorf("got %+v %v", got, fault)
	}
	request.MaxBytes = 9
	if got, fault := call[abi.TCPResponse](t, s, "tcp.exchange", request); fault != nil || got.Received.Text != "you asked" || !got.Truncated {
		t.Errorf("got %+v %v", got, fault)
	}
	request.Send.Text, request.Timeout = "hang\r\n", 50
	if _, fault := call[any](t, s, "tcp.exchange", request); fault == nil || fault.Kind != abi.Timeout {
		t.Errorf("a server that hangs: %v", fault)
	}
	request.Address = "127.0.0.1:1"
	if _, fault := call[any](t, s, "tcp.exchange", request); fault == nil || fault.Kind != abi.Refused {
		t.Errorf("another port: %v", fault)
	}
	for _, e := range b.tape.(*tape.Memory).Entries() {
		if e.Kind == tape.BeginKind && e.Call.Effect != abi.Read {
			t.Errorf("the effect is %s", e.Call.Effect)
		}
	}
}

const databasePassword = "Geheim#1é"

func database(t *testing.T, tls bool) (*mssql.Server, *bench) {
	server, err := mssql.Start(mssql.Options{TLS: tls, Logins: []mssql.Login{{User: "riposte_ro", Password: databasePassword}},
		Tables: map[string]tsql.Table{"dbo.assets": {
			Columns: []tsql.Column{{Name: "ip", Type: tsql.NVarChar}, {Name: "owner", Type: tsql.NVarChar}, {Name: "id", Type: tsql.Int}, {Name: "critical", Type: tsql.Bit},
				{Name: "seen", Type: tsql.DateTime}, {Name: "score", Type: tsql.Float}},
			Rows: [][]any{{"10.20.30.40", "alice.jones@corp.test", 1, true, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 0.5}, {"10.20.30.41", databasePassword, 2, false, nil, nil}},
		}}})
	started(t, server, err)
	b := newBench(t, abi.Requirement{ID: "cmdb", Kind: "sql", Reason: "r", Driver: "sqlserver", Server: server.Addr(), Database: "cmdb", TLS: "{settings.tls}", MaxRows: 10,
		Auth: &abi.Auth{Secret: "password", Inject: "password", User: "user"}, Statements: json.RawMessage(
			`{"by-ip":{"sql":"SELECT ip, owner, id, critical, seen, score FROM dbo.assets WHERE ip = @ip","params":["ip"]},"all":{"sql":"SELECT owner, id FROM dbo.assets ORDER BY id"},
			"clear":{"sql":"DELETE FROM dbo.assets","effect":"write.unsafe"}}`)})
	b.settings = `{"tls":"off","user":"riposte_ro","password":{"secret":"store:db"}}`
	b.services.Secrets = vault{"store:db": databasePassword}
	return server, b
}

func TestQuery(t *testing.T) {
	server, b := database(t, false)
	s := b.session()
	query := func(statement string, params map[string]any) (abi.SQLResponse, *abi.Fault) {
		return call[abi.SQLResponse](t, s, "sql.query", abi.SQLRequest{Capability: "cmdb", Statement: statement, Params: params})
	}
	got, fault := query("by-ip", map[string]any{"ip": "10.20.30.40"})
	want := abi.SQLResponse{Columns: []string{"ip", "owner", "id", "critical", "seen", "score"}, Rows: []map[string]any{
		{"ip": "10.20.30.40", "owner": "alice.jones@corp.test", "id": 1.0, "critical": true, "seen": "2026-01-02T03:04:05Z", "score": 0.5}}}
	if fault != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %v", got, fault)
	}
	if got, fault := query("by-ip", map[string]any{"ip": "x' OR '1'='1"}); fault != nil || len(got.Rows) != 0 {
		t.Errorf("an injection: %+v %v", got, fault)
	}
	if got, fault := query("all", nil); fault != nil || len(got.Rows) != 2 || got.Rows[1]["owner"] != "[secret]" {
		t.Errorf("an echo of the password: %+v %v", got, fault)
	}
	for _, c := range []struct {
		statement string
		params    map[string]any
		want      abi.Kind
	}{{"SELECT 1", nil, abi.Refused}, {"by-ip", nil, abi.Refused}, {"by-ip", map[string]any{"ip": []string{"a"}}, abi.Invalid}} {
		if _, fault := query(c.statement, c.params); fault == nil || fault.Kind != c.want {
			t.Errorf("%s %v: %v", c.statement, c.params, fault)
		}
	}
	if _, fault := query("clear", nil); fault == nil || fault.Kind != abi.Failed {
		t.Errorf("a statement that the server refuses: %v", fault)
	}
	fail := func(f mssql.Fault) {
		t.Helper()
		if err := server.Fail(f); err != nil {
			t.Fatal(err)
		}
	}
	fail(mssql.Fault{Kind: mssql.Drop, Times: 1})
	if got, fault := query("all", nil); fault != nil || len(got.Rows) != 2 {
		t.Errorf("a read over a lost connection: %+v %v", got, fault)
	}
	fail(mssql.Fault{Kind: mssql.Drop, Times: 1})
	if _, fault := query("clear", nil); fault == nil || fault.Kind != abi.InDoubt {
		t.Errorf("a write over a lost connection: %v", fault)
	}
	fail(mssql.Fault{Kind: mssql.Raise, Number: 1205, Times: 1})
	if _, fault := query("all", nil); fault == nil || fault.Kind != abi.Conflict || !fault.Retryable {
		t.Errorf("a deadlock: %v", fault)
	}
	fail(mssql.Fault{Kind: mssql.Hang, Times: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, fault := callContext[any](t, ctx, s, "sql.query", abi.SQLRequest{Capability: "cmdb", Statement: "all"}); fault == nil || fault.Kind != abi.Timeout {
		t.Errorf("a server that hangs: %v", fault)
	}
	lines, _ := json.Marshal(b.tape.(*tape.Memory).Entries())
	if strings.Contains(string(lines), "Geheim") {
		t.Error("the tape holds the password")
	}
	b.grant["cmdb"] = capability.Narrowing{MaxRows: 1}
	if got, fault := call[abi.SQLResponse](t, b.session(), "sql.query", abi.SQLRequest{Capability: "cmdb", Statement: "all"}); fault != nil || len(got.Rows) != 1 || !got.Truncated {
		t.Errorf("the limit of rows: %+v %v", got, fault)
	}
}

func TestQueryLoginAndTLS(t *testing.T) {
	server, b := database(t, true)
	all := abi.SQLRequest{Capability: "cmdb", Statement: "all"}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, server.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	b.settings = strings.Replace(b.settings, "off", "on", 1)
	if _, fault := call[any](t, b.session(), "sql.query", all); fault == nil || !strings.Contains(fault.Message, "unknown authority") {
		t.Errorf("a certificate of nobody: %v", fault)
	}
	b.grant["cmdb"] = capability.Narrowing{TLS: &capability.TLS{CA: ca}}
	if _, fault := call[any](t, b.session(), "sql.query", all); fault != nil {
		t.Error(fault)
	}
	b.services.Secrets.(vault)["store:db"] = "wrong-password"
	b.svc.Close()
	b.svc = nil
	if _, fault := call[any](t, b.session(), "sql.query", all); fault == nil || fault.Kind != abi.Unauthorized || strings.Contains(fault.Error(), "wrong-password") {
		t.Errorf("a wrong password: %v", fault)
	}
	logins := server.Logins()
	if len(logins) != 2 || !logins[0].TLS || logins[0].App != "riposte" {
		t.Errorf("logins %+v", logins)
	}
}

func relay(t *testing.T, o smtpsink.Options, tls string) (*smtpsink.Server, *bench) {
	server, err := smtpsink.Start(o)
	started(t, server, err)
	b := newBench(t, abi.Requirement{ID: "relay", Kind: "mail", Reason: "r", Server: server.Addr(), TLS: tls, From: "soc@corp.test", Recipients: json.RawMessage(`["*@corp.test"]`)})
	if len(o.Users) > 0 {
		b.manifest.Requires[0].Auth = &abi.Auth{Secret: "password", Inject: "password", User: "user"}
		b.settings, b.services.Secrets = `{"user":"riposte","password":{"secret":"store:mail"}}`, vault{"store:mail": "relay-password"}
	}
	if pem := server.CertificatePEM(); pem != nil {
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem, 0o600); err != nil {
			t.Fatal(err)
		}
		b.grant["relay"] = capability.Narrowing{TLS: &capability.TLS{CA: ca}}
	}
	return server, b
}

func note() abi.MailRequest {
	return abi.MailRequest{Capability: "relay", To: []string{"lead@corp.test"}, Cc: []string{"second@corp.test"}, Subject: "Häßlich: 203.0.113.7", Text: "blocked\n.\nend", HTML: "<b>blocked</b>"}
}

func TestSend(t *testing.T) {
	server, b := relay(t, smtpsink.Options{}, "off")
	got, fault := call[abi.MailResponse](t, b.session(), "mail.send", note())
	if fault != nil {
		t.Fatal(fault)
	}
	messages := server.State().(smtpsink.State).Messages
	id := tape.WriteKey("key-1", 1) + "@riposte.corp.test"
	if len(messages) != 1 || got.MessageID != "<"+id+">" {
		t.Fatalf("%d messages, id %s", len(messages), got.MessageID)
	}
	m := messages[0]
	if m.MessageID != id || m.MailFrom != "soc@corp.test" || strings.Join(m.RcptTo, " ") != "lead@corp.test second@corp.test" || m.Subject != note().Subject ||
		m.Helo != "riposte.corp.test" || m.HTML != "<b>blocked</b>" || !strings.Contains(m.Text, "\n.\n") && !strings.Contains(m.Text, "\r\n.\r\n") {
		t.Errorf("got %+v", m)
	}
	for header := range m.Header {
		if strings.HasPrefix(header, "X-") || header == "User-Agent" || header == "Bcc" {
			t.Errorf("header %s", header)
		}
	}
	s := b.session()
	for name, change := range map[string]func(*abi.MailRequest){
		"recipient":     func(m *abi.MailRequest) { m.To = []string{"x@evil.test"} },
		"cc":            func(m *abi.MailRequest) { m.Cc = []string{"x@evil.test"} },
		"injection":     func(m *abi.MailRequest) { m.To = []string{"lead@corp.test\r\nRCPT TO:<x@evil.test>"} },
		"subject":       func(m *abi.MailRequest) { m.Subject = "x\r\nBcc: x@evil.test" },
		"no subject":    func(m *abi.MailRequest) { m.Subject = "" },
		"no recipient":  func(m *abi.MailRequest) { m.To = nil },
		"no text":       func(m *abi.MailRequest) { m.Text, m.HTML = "", "" },
		"large":         func(m *abi.MailRequest) { m.Text = strings.Repeat("x", maxMailText+1) },
		"many":          func(m *abi.MailRequest) { m.To = make([]string, maxRecipients+1) },
		"display name":  func(m *abi.MailRequest) { m.To = []string{"Lead <lead@corp.test>"} },
		"quoted source": func(m *abi.MailRequest) { m.To = []string{`"a@b"@corp.test`} },
	} {
		request := note()
		change(&request)
		if _, fault := call[any](t, s, "mail.send", request); fault == nil || fault.Retryable {
			t.Errorf("%s: %v", name, fault)
		}
	}
	if n := server.State().(smtpsink.State).Total; n != 1 {
		t.Errorf("%d messages came", n)
	}
}

// A relay that takes the mail and hangs up leaves us to wonder; the retry of the same call carries the same Message-ID.
func TestSendAgainIsKnown(t *testing.T) {
	server, b := relay(t, smtpsink.Options{}, "off")
	if err := server.Fail(smtpsink.Fault{Kind: smtpsink.AcceptDrop, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if _, fault := call[any](t, b.session(), "mail.send", note()); fault == nil || !fault.Retryable {
		t.Fatalf("got %v", fault)
	}
	b.tape = tape.Resume(b.tape.(*tape.Memory).Entries()[:1])
	if _, fault := call[any](t, b.session(), "mail.send", note()); fault != nil {
		t.Fatal(fault)
	}
	if state := server.State().(smtpsink.State); state.Total != 2 || state.Duplicates != 1 {
		t.Errorf("%d came, %d known as duplicates", state.Total, state.Duplicates)
	}
}

func TestSendTLSAndAuth(t *testing.T) {
	users := map[string]string{"riposte": "relay-password"}
	for _, c := range []struct {
		name    string
		options smtpsink.Options
		tls     string
		want    abi.Kind
	}{
		{"starttls with login", smtpsink.Options{RequireTLS: true, Users: users, RequireAuth: true}, "starttls", ""},
		{"tls with login", smtpsink.Options{ImplicitTLS: true, Users: users, RequireAuth: true}, "on", ""},
		{"clear with login, as configured", smtpsink.Options{Users: users, RequireAuth: true}, "off", ""},
		{"opportunistic finds tls", smtpsink.Options{TLS: true, Users: users, RequireAuth: true}, "opportunistic", ""},
		{"starttls is not offered", smtpsink.Options{}, "starttls", abi.Unavailable},
		{"wrong password", smtpsink.Options{RequireTLS: true, Users: map[string]string{"riposte": "another"}, RequireAuth: true}, "starttls", abi.Unauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, b := relay(t, c.options, c.tls)
			_, fault := call[abi.MailResponse](t, b.session(), "mail.send", note())
			messages := server.State().(smtpsink.State).Messages
			if c.want == "" && (fault != nil || len(messages) != 1 || messages[0].TLS != (c.tls != "off") || len(c.options.Users) > 0 && messages[0].User != "riposte") {
				t.Errorf("got %v, %+v", fault, messages)
			}
			if c.want != "" && (fault == nil || fault.Kind != c.want || strings.Contains(fault.Error(), "relay-password")) {
				t.Errorf("got %v, want %s", fault, c.want)
			}
		})
	}
}

func TestSendRefusals(t *testing.T) {
	server, b := relay(t, smtpsink.Options{}, "off")
	for _, c := range []struct {
		fault smtpsink.Fault
		want  abi.Kind
	}{{smtpsink.Fault{Kind: smtpsink.Refuse, Times: 1}, abi.Failed}, {smtpsink.Fault{Kind: smtpsink.TempFail, Times: 1}, abi.Unavailable}, {smtpsink.Fault{Kind: smtpsink.Drop, Times: 1}, abi.Unavailable}} {
		if err := server.Fail(c.fault); err != nil {
			t.Fatal(err)
		}
		if _, fault := call[any](t, b.session(), "mail.send", note()); fault == nil || fault.Kind != c.want || fault.Retryable != (c.want == abi.Unavailable) {
			t.Errorf("%s: %v", c.fault.Kind, fault)
		}
		server.Clear()
	}
}
