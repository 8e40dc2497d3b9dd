package plugins_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
	smtpsink "github.com/riposte-soar/riposte/testing/lab/smtp"
)

const relayPassword = "relay-lab-password"

type sent struct {
	MessageID string `json:"message_id"`
	To        []string
}

func startRelay(t *testing.T, o smtpsink.Options, settings map[string]any) (*smtpsink.Server, *connector) {
	t.Helper()
	s, err := smtpsink.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	all := map[string]any{"server": s.Addr(), "from": "riposte@corp.test", "recipients": []string{"*@corp.test", "oncall@partner.example"}, "tls": "off"}
	for name, v := range settings {
		all[name] = v
	}
	c := connect(t, "mail", all)
	if pem := s.CertificatePEM(); pem != nil {
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"relay", "relay-login"} {
			c.grant[id] = capability.Narrowing{TLS: &capability.TLS{CA: ca}}
		}
	}
	return s, c
}

func note(to ...string) map[string]any {
	return map[string]any{"to": to, "subject": "[IN-7] 10.20.30.41 talked to a malicious address", "text": "# Look at it\n\nplease"}
}

func TestMail(t *testing.T) {
	s, c := startRelay(t, smtpsink.Options{}, nil)
	got := must[sent](c, "send", map[string]any{"to": []string{"bob.meyer@corp.test"}, "cc": []string{"oncall@partner.example"}, "subject": "Bericht für\r\nBob",
		"template": "# {{host}}\n\n{{#addresses}}\n- {{.}}\n{{/addresses}}\n",
		"data":     map[string]any{"host": "fin-0007 <script>", "addresses": []string{"198.51.100.23", "198.51.100.77"}}})
	all := s.Messages()
	if len(all) != 1 || got.MessageID != "<"+all[0].MessageID+">" || !slices.Equal(got.To, []string{"bob.meyer@corp.test", "oncall@partner.example"}) {
		t.Fatalf("got %+v, the relay %+v", got, all)
	}
	m := all[0]
	if m.MailFrom != "riposte@corp.test" || !slices.Equal(m.RcptTo, got.To) || m.Subject != "Bericht für  Bob" || m.Malformed != "" {
		t.Errorf("mail %+v", m)
	}
	if strings.ReplaceAll(strings.TrimSpace(m.Text), "\r\n", "\n") != "# fin-0007 <script>\n\n- 198.51.100.23\n- 198.51.100.77" ||
		!strings.Contains(m.HTML, "<h1>fin-0007 &lt;script&gt;</h1>") || !strings.Contains(m.HTML, "<li>198.51.100.77</li>") {
		t.Errorf("text %q\nhtml %q", m.Text, m.HTML)
	}
	// The same work sent again carries the same Message-ID, so that it can be told from a second mail.
	if again := must[sent](c, "send", note("bob.meyer@corp.test")); again.MessageID != got.MessageID {
		t.Errorf("%s became %s", got.MessageID, again.MessageID)
	}
}

func TestMailTLSAndLogin(t *testing.T) {
	users := map[string]string{"riposte": relayPassword}
	login := map[string]any{"login": true, "user": "riposte", "password": secretSetting(relayPassword)}
	for name, test := range map[string]struct {
		options smtpsink.Options
		tls     string
	}{
		"starttls": {smtpsink.Options{RequireTLS: true, Users: users, RequireAuth: true}, "starttls"},
		"tls":      {smtpsink.Options{ImplicitTLS: true, Users: users, RequireAuth: true}, "on"},
		"no tls":   {smtpsink.Options{Users: users, RequireAuth: true}, "off"},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := startRelay(t, test.options, login)
			c.settings["tls"] = test.tls
			must[sent](c, "send", note("bob.meyer@corp.test"))
			if all := s.Messages(); len(all) != 1 || all[0].User != "riposte" || all[0].TLS != (test.tls != "off") {
				t.Errorf("mails %+v", all)
			}
			c.settings["password"] = secretSetting("not-the-right-password")
			fails(c, "send", note("bob.meyer@corp.test"), abi.Unauthorized)
			c.settings["login"] = false
			if f := c.run("send", note("bob.meyer@corp.test")).Fault; f == nil {
				t.Error("the relay took a mail without a login")
			}
		})
	}
	// A relay without STARTTLS gets nothing in clear text unless that is allowed.
	s, c := startRelay(t, smtpsink.Options{}, map[string]any{"tls": "starttls"})
	fails(c, "send", note("bob.meyer@corp.test"), abi.Unavailable)
	if len(s.Messages()) != 0 {
		t.Errorf("mails %+v", s.Messages())
	}
}

func TestMailRecipients(t *testing.T) {
	s, c := startRelay(t, smtpsink.Options{}, nil)
	fails(c, "send", note("bob.meyer@corp.test", "x@evil.example"), abi.Refused)
	fails(c, "send", note("x@corp.test.evil.example"), abi.Refused)
	for _, p := range []map[string]any{note(), note("no address"), {"to": []string{"a@corp.test"}, "subject": "x"}, {"to": []string{"a@corp.test"}, "subject": "x", "template": "{{#a}}"},
		{"to": []string{"a@corp.test"}, "subject": "\n", "text": "x"}} {
		fails(c, "send", p, abi.Invalid)
	}
	c.grant["relay"] = capability.Narrowing{Deny: []string{"ceo@corp.test"}}
	fails(c, "send", note("ceo@corp.test"), abi.Refused)
	if len(s.Messages()) != 0 {
		t.Errorf("mails %+v", s.Messages())
	}
}

func TestMailFaults(t *testing.T) {
	for _, test := range []struct {
		fault smtpsink.Fault
		kinds []abi.Kind
	}{
		{smtpsink.Fault{Kind: smtpsink.Refuse}, []abi.Kind{abi.Failed}},
		{smtpsink.Fault{Kind: smtpsink.TempFail}, []abi.Kind{abi.Unavailable}},
		{smtpsink.Fault{Kind: smtpsink.TempFail, Stage: smtpsink.AtData}, []abi.Kind{abi.Unavailable}},
		{smtpsink.Fault{Kind: smtpsink.Greylist}, []abi.Kind{abi.Unavailable}},
		{smtpsink.Fault{Kind: smtpsink.Drop}, []abi.Kind{abi.Unavailable}},
		{smtpsink.Fault{Kind: smtpsink.AcceptDrop, Times: 1}, []abi.Kind{abi.Unavailable}},
		{smtpsink.Fault{Kind: smtpsink.Delay, DelayMS: 60_000}, []abi.Kind{abi.Timeout}},
	} {
		t.Run(string(test.fault.Kind)+string(test.fault.Stage), func(t *testing.T) {
			s, c := startRelay(t, smtpsink.Options{}, nil)
			if err := s.Fail(test.fault); err != nil {
				t.Fatal(err)
			}
			if test.fault.Kind == smtpsink.Delay {
				c.timeout = 500 * time.Millisecond
			}
			f := c.run("send", note("bob.meyer@corp.test")).Fault
			if f == nil || !slices.Contains(test.kinds, f.Kind) {
				t.Fatalf("got %v, want one of %v", f, test.kinds)
			}
			if test.fault.Kind == smtpsink.AcceptDrop { // sent again, it is known as the same
				must[sent](c, "send", note("bob.meyer@corp.test"))
				if all := s.Messages(); len(all) != 2 || all[0].MessageID != all[1].MessageID || !all[1].Duplicate {
					t.Errorf("mails %+v", all)
				}
			}
		})
	}
}
