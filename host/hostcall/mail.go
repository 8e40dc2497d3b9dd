package hostcall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Limits of mail.send.
const (
	maxRecipients = 100
	maxMailText   = 1 << 20
	maxSubject    = 500
	mailTimeout   = 60 * time.Second
)

// send is mail.send.
type send struct {
	abi.MailRequest
	to, cc []string
}

func (m *send) capability() (kind, id string) { return "mail", m.Capability }

func (m *send) summary() string { return "to " + strings.Join(slices.Concat(m.To, m.Cc), ", ") }

func (m *send) authorise(r *capability.Right) (abi.Effect, *abi.Fault) {
	switch n := len(m.To) + len(m.Cc); {
	case len(m.To) == 0 || n > maxRecipients:
		return "", abi.NewFault(abi.Invalid, fmt.Sprintf("the mail has %d recipients", n), fmt.Sprintf("give at least one in to, and %d at most", maxRecipients))
	case m.Subject == "" || len(m.Subject) > maxSubject || strings.ContainsFunc(m.Subject, unicode.IsControl):
		return "", abi.NewFault(abi.Invalid, "the subject is empty, too long, or has a line end or another control character", "")
	case len(m.Text)+len(m.HTML) > maxMailText:
		return "", abi.NewFault(abi.TooLarge, fmt.Sprintf("the mail has more than %d bytes of text", maxMailText), "")
	case m.Text == "" && m.HTML == "":
		return "", abi.NewFault(abi.Invalid, "the mail has no text", "")
	}
	for _, part := range []struct {
		from []string
		into *[]string
	}{{m.To, &m.to}, {m.Cc, &m.cc}} {
		for _, recipient := range part.from {
			address, refusal := r.Mail.Allow(recipient)
			if refusal != nil {
				return "", refusal.Fault()
			}
			*part.into = append(*part.into, address)
		}
	}
	return abi.Keyed, nil
}

func (m *send) perform(ctx context.Context, s *Session, g granted, key string) (any, *abi.Fault) {
	right := g.right.Mail
	_, domain, _ := strings.Cut(right.From, "@")
	id := key + "@riposte." + domain
	message, err := m.message(right.From, id, s.o.Services.o.Now())
	if err != nil {
		return nil, abi.NewFault(abi.Invalid, "the mail cannot be written", "")
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	conn, fault := s.o.Services.connect(ctx, right.Server, true, g.tls, right.TLS == "on")
	if fault != nil {
		return nil, fault
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	options, fault := s.mailOptions(g, domain, conn)
	if fault != nil {
		return nil, fault
	}
	client, err := mail.NewClient(right.Server.Host.String(), options...)
	if err != nil {
		return nil, abi.NewFault(abi.Internal, "the mail client cannot be made", "")
	}
	// What fails behind the delivery (reset, quit) does not undo it.
	if err := client.DialAndSendWithContext(ctx, message); err != nil && !message.IsDelivered() {
		return nil, mailFault(ctx, err, right.Server.String())
	}
	return abi.MailResponse{MessageID: "<" + id + ">"}, nil
}

func (m *send) message(from, id string, now time.Time) (*mail.Msg, error) {
	message := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(message.From(from), message.To(m.to...)); err != nil {
		return nil, err
	}
	if len(m.cc) > 0 {
		if err := message.Cc(m.cc...); err != nil {
			return nil, err
		}
	}
	message.Subject(m.Subject)
	message.SetMessageIDWithValue(id)
	message.SetDateWithValue(now)
	switch {
	case m.Text == "":
		message.SetBodyString(mail.TypeTextHTML, m.HTML)
	case m.HTML == "":
		message.SetBodyString(mail.TypeTextPlain, m.Text)
	default:
		message.SetBodyString(mail.TypeTextPlain, m.Text)
		message.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	}
	return message, nil
}

// mailOptions set up the client over a connection that is there already.
func (s *Session) mailOptions(g granted, domain string, conn net.Conn) ([]mail.Option, *abi.Fault) {
	right := g.right.Mail
	options := []mail.Option{
		mail.WithPort(int(right.Server.Port)),
		mail.WithHELO("riposte." + domain),
		mail.WithTimeout(mailTimeout),
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }),
		mail.WithTLSConfig(g.tls.forHost(right.Server.Host)),
		mail.WithTLSPolicy(map[string]mail.TLSPolicy{"starttls": mail.TLSMandatory, "opportunistic": mail.TLSOpportunistic, "off": mail.NoTLS, "on": mail.NoTLS}[right.TLS]),
	}
	if right.TLS == "on" {
		options = append(options, mail.WithSSL())
	}
	auth := g.right.Auth
	if auth == nil {
		return options, nil
	}
	password, fault := s.secretFor(auth)
	if fault != nil {
		return nil, fault
	}
	user, fault := s.setting(auth.User)
	if fault != nil {
		return nil, fault
	}
	// In clear text a password goes only where the connector says so.
	how := mail.WithOpportunisticSMTPAuth(mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthSCRAMSHA256)
	if right.TLS == "off" {
		how = mail.WithSMTPAuth(mail.SMTPAuthPlainNoEnc)
	}
	return append(options, how, mail.WithUsername(user), mail.WithPassword(password.Reveal())), nil
}

func mailFault(ctx context.Context, err error, where string) *abi.Fault {
	var sending *mail.SendError
	var answered interface{ ErrorCode() int }
	code := 0
	if errors.As(err, &answered) {
		code = answered.ErrorCode()
	}
	text := fmt.Sprintf("%.300s", strings.ToValidUTF8(err.Error(), "?"))
	switch {
	case ctx.Err() != nil:
		return netFault(ctx, ctx.Err(), where)
	case strings.Contains(text, "SMTP AUTH failed") && !strings.Contains(text, "EOF"):
		return &abi.Fault{Kind: abi.Unauthorized, Message: where + " does not accept the login", Hint: "check user and password of the connector"}
	case strings.Contains(text, "STARTTLS") || strings.Contains(text, "AUTH"):
		return &abi.Fault{Kind: abi.Unavailable, Message: where + ": " + text, Hint: "check tls and auth of the connector"}
	case errors.As(err, &sending) && code >= 500:
		return abi.NewFault(abi.Failed, where+": "+text, "")
	case errors.As(err, &sending) && code >= 400:
		return abi.NewFault(abi.Unavailable, where+": "+text, "")
	}
	return netFault(ctx, err, where)
}
