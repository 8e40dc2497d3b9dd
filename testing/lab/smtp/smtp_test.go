package smtpsink_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"

	smtpsink "github.com/riposte-soar/riposte/testing/lab/smtp"
	"github.com/wneessen/go-mail"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sender, alice = "riposte@corp.test", "alice.jones@corp.test"

func start(t *testing.T, o smtpsink.Options) *smtpsink.Server {
	t.Helper()
	s, err := smtpsink.Start(o)
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

func plain(id string) []byte {
	return fmt.Appendf(nil, "From: Riposte <%s>\r\nTo: Alice <%s>\r\nSubject: =?utf-8?q?Ger=C3=A4t?= isolated\r\nMessage-ID: <%s>\r\n\r\nLook at ws-0140.\r\n", sender, alice, id)
}

func send(s *smtpsink.Server, id string, to ...string) error {
	return smtp.SendMail(s.Addr(), nil, sender, to, plain(id))
}

// code is the SMTP answer in err, 0 if it is none.
func code(err error) int {
	var e *textproto.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func TestMessagesAreDecoded(t *testing.T) {
	s := start(t, smtpsink.Options{})
	m := mail.NewMsg()
	for _, err := range []error{m.FromFormat("Riposte", sender), m.AddTo(alice), m.AddCc("bob.meyer@corp.test")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m.SetMessageIDWithValue("inc-1@corp.test")
	m.Subject("Gerät ws-0140 gesperrt")
	m.SetBodyString(mail.TypeTextPlain, "Grüße\naus dem Labor")
	m.AddAlternativeString(mail.TypeTextHTML, "<p>Grüße</p>")
	if err := m.AttachReader("evidence.json", strings.NewReader(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(s.Addr())
	c, err := mail.NewClient(host, mail.WithPort(atoi(t, port)), mail.WithTLSPolicy(mail.NoTLS))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DialAndSendWithContext(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := s.Messages()
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	g := got[0]
	if g.MailFrom != sender || strings.Join(g.RcptTo, ",") != alice+",bob.meyer@corp.test" || g.From[0] != sender || g.To[0] != alice || g.Cc[0] != "bob.meyer@corp.test" {
		t.Errorf("addresses %+v", g)
	}
	if g.Subject != "Gerät ws-0140 gesperrt" || g.MessageID != "inc-1@corp.test" || strings.TrimSpace(g.Text) != "Grüße\naus dem Labor" ||
		strings.TrimSpace(g.HTML) != "<p>Grüße</p>" || g.Malformed != "" || !g.Accepted || g.Code != 250 || g.Attempt != 1 || g.Duplicate {
		t.Errorf("message %+v", g)
	}
	if len(g.Attachments) != 1 || g.Attachments[0].Name != "evidence.json" || g.Attachments[0].Size != 7 {
		t.Errorf("attachments %+v", g.Attachments)
	}
}

func atoi(t *testing.T, port string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLatin1AndBrokenMailAreTaken(t *testing.T) {
	s := start(t, smtpsink.Options{})
	for _, raw := range []string{
		"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe=\r\n!\r\n",
		"no header at all\r\n",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nnever ends",
	} {
		if err := smtp.SendMail(s.Addr(), nil, sender, []string{alice}, []byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	m := s.Messages()
	if m[0].Text != "Grüße!\n" || m[1].Malformed == "" || m[2].Malformed == "" {
		t.Errorf("%q, %q, %q", m[0].Text, m[1].Malformed, m[2].Malformed)
	}
}

func TestTLSAndAuth(t *testing.T) {
	s := start(t, smtpsink.Options{RequireTLS: true, RequireAuth: true, Users: map[string]string{"riposte": "secret"}})
	if err := send(s, "a@corp.test", alice); code(err) != 530 && !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("with an unknown certificate: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CertificatePEM()) {
		t.Fatal("no certificate")
	}
	host, _, _ := net.SplitHostPort(s.Addr())
	try := func(secure bool, password string) error {
		c, err := smtp.Dial(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if secure {
			if err := c.StartTLS(&tls.Config{RootCAs: roots, ServerName: host}); err != nil {
				t.Fatal(err)
			}
		}
		if password != "" {
			if err := c.Auth(smtp.PlainAuth("", "riposte", password, host)); err != nil {
				return err
			}
		}
		if err := c.Mail(sender); err != nil {
			return err
		}
		if err := c.Rcpt(alice); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := w.Write(plain("a@corp.test")); err != nil {
			return err
		}
		return w.Close()
	}
	if err := try(false, ""); code(err) != 530 {
		t.Errorf("without TLS: %v", err)
	}
	if err := try(true, ""); code(err) != 530 {
		t.Errorf("without a login: %v", err)
	}
	if err := try(true, "wrong"); code(err) != 535 {
		t.Errorf("wrong password: %v", err)
	}
	if err := try(true, "secret"); err != nil {
		t.Errorf("right password: %v", err)
	}
	if m := s.Messages(); len(m) != 1 || m[0].User != "riposte" || !m[0].TLS {
		t.Errorf("messages %+v", m)
	}
}

func TestTLSFromTheFirstByte(t *testing.T) {
	s := start(t, smtpsink.Options{ImplicitTLS: true, RequireTLS: true})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CertificatePEM())
	raw, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(raw, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail(sender); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt(alice); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain("tls@corp.test")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if m := s.Messages(); len(m) != 1 || !m[0].TLS || m[0].MessageID != "tls@corp.test" {
		t.Errorf("messages %+v", m)
	}
}

func TestRetriesOfAMessageAreVisible(t *testing.T) {
	s := start(t, smtpsink.Options{})
	arm := func(f smtpsink.Fault) {
		t.Helper()
		f.Times = 1
		if err := s.Fail(f); err != nil {
			t.Fatal(err)
		}
	}
	arm(smtpsink.Fault{Kind: smtpsink.TempFail, Stage: smtpsink.AtData})
	if err := send(s, "one@corp.test", alice); code(err) != 451 {
		t.Errorf("tempfail: %v", err)
	}
	arm(smtpsink.Fault{Kind: smtpsink.AcceptDrop})
	if err := send(s, "one@corp.test", alice); err == nil || code(err) != 0 {
		t.Errorf("accept_drop: %v", err)
	}
	if err := send(s, "one@corp.test", alice); err != nil {
		t.Error(err)
	}
	if err := send(s, "two@corp.test", alice); err != nil {
		t.Error(err)
	}
	want := []struct {
		accepted, duplicate bool
		code, attempt       int
	}{{false, false, 451, 1}, {true, false, 0, 2}, {true, true, 250, 3}, {true, false, 250, 1}}
	for i, m := range s.Messages() {
		if w := want[i]; m.Accepted != w.accepted || m.Duplicate != w.duplicate || m.Code != w.code || m.Attempt != w.attempt {
			t.Errorf("message %d: %+v, want %+v", i, m, w)
		}
	}
	if st := s.State().(smtpsink.State); st.Total != 4 || st.Accepted != 3 || st.Duplicates != 1 {
		t.Errorf("state %d %d %d", st.Total, st.Accepted, st.Duplicates)
	}
}

func TestRefusals(t *testing.T) {
	s := start(t, smtpsink.Options{})
	for _, c := range []struct {
		fault smtpsink.Fault
		code  int
		stage smtpsink.Stage
	}{
		{smtpsink.Fault{Kind: smtpsink.Refuse, Match: "alice"}, 550, smtpsink.AtRcpt},
		{smtpsink.Fault{Kind: smtpsink.TempFail, Code: 421, Text: "Too busy"}, 421, smtpsink.AtRcpt},
		{smtpsink.Fault{Kind: smtpsink.Refuse, Stage: smtpsink.AtMail, Match: "riposte", Code: 554}, 554, smtpsink.AtMail},
		{smtpsink.Fault{Kind: smtpsink.Drop, Stage: smtpsink.AtRcpt, DelayMS: 1}, 0, smtpsink.AtRcpt},
		{smtpsink.Fault{Kind: smtpsink.Drop}, 0, smtpsink.AtData},
	} {
		s.Reset()
		if err := s.Fail(c.fault); err != nil {
			t.Fatal(err)
		}
		err := send(s, "x@corp.test", alice)
		if r := s.Refusals(); err == nil || code(err) != c.code || len(r) != 1 || r[0].Stage != c.stage || r[0].Code != c.code || r[0].Fault != c.fault.Kind {
			t.Errorf("%+v: %v, refusals %+v", c.fault, err, r)
		}
	}
	s.Reset()
	if err := s.Fail(smtpsink.Fault{Kind: smtpsink.Refuse, Match: "alice"}); err != nil {
		t.Fatal(err)
	}
	if err := send(s, "x@corp.test", "bob.meyer@corp.test"); err != nil {
		t.Errorf("another recipient: %v", err)
	}
	for _, f := range []smtpsink.Fault{{Kind: "sulk"}, {Kind: smtpsink.Drop, Stage: "auth"}, {Kind: smtpsink.AcceptDrop, Stage: smtpsink.AtMail}, {Kind: smtpsink.Refuse, Code: 250}} {
		if err := s.Fail(f); err == nil {
			t.Errorf("%+v was armed", f)
		}
	}
}

func TestGreylistSendsEachPairAwayOnce(t *testing.T) {
	s := start(t, smtpsink.Options{})
	if err := s.Fail(smtpsink.Fault{Kind: smtpsink.Greylist}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{alice, "carol.diaz@corp.test"} {
		if err := send(s, "g@corp.test", to); code(err) != 451 {
			t.Errorf("first to %s: %v", to, err)
		}
		if err := send(s, "g@corp.test", to); err != nil {
			t.Errorf("second to %s: %v", to, err)
		}
	}
}

func TestMessagesOverTheLimitAreRefused(t *testing.T) {
	s := start(t, smtpsink.Options{MaxBytes: 100})
	err := smtp.SendMail(s.Addr(), nil, sender, []string{alice}, []byte("\r\n"+strings.Repeat("x\r\n", 100)))
	if code(err) != 552 || len(s.Messages()) != 0 {
		t.Errorf("%v", err)
	}
}

func TestCloseEndsADelayedAnswer(t *testing.T) {
	s := start(t, smtpsink.Options{})
	if err := s.Fail(smtpsink.Fault{Kind: smtpsink.Delay, Stage: smtpsink.AtRcpt, DelayMS: 3_600_000}); err != nil {
		t.Fatal(err)
	}
	c, err := smtp.Dial(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail(sender); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Rcpt(alice) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("answered after Close")
	}
}

func TestControlPage(t *testing.T) {
	s := start(t, smtpsink.Options{})
	h := s.Control()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/faults", strings.NewReader(`{"kind":"refuse","match":"bob","times":1}`)))
	if w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := send(s, "c@corp.test", "bob.meyer@corp.test"); code(err) != 550 {
		t.Fatal(err)
	}
	if err := send(s, "c@corp.test", alice); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/state", nil))
	var st smtpsink.State
	if err := json.NewDecoder(w.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	if st.Accepted != 1 || st.Messages[0].Subject != "Gerät isolated" || st.Refusals[0].To != "bob.meyer@corp.test" || st.Faults[0].Hits != 1 {
		t.Errorf("%+v", st)
	}
}
