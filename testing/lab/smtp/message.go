package smtpsink

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
)

// Message is one mail as it came.
type Message struct {
	Time time.Time `json:"time"`
	// The envelope: what the client said in EHLO, MAIL and RCPT, as whom it logged in, and whether TLS was on.
	Helo     string   `json:"helo"`
	MailFrom string   `json:"mail_from"`
	RcptTo   []string `json:"rcpt_to"`
	User     string   `json:"user,omitempty"`
	TLS      bool     `json:"tls,omitempty"`
	// The message: bare addresses and decoded text (RFC 5322, RFC 2045, RFC 2047).
	From        []string            `json:"from"`
	To          []string            `json:"to"`
	Cc          []string            `json:"cc,omitempty"`
	Subject     string              `json:"subject"`
	MessageID   string              `json:"message_id"` // without the angle brackets
	Header      map[string][]string `json:"header"`     // decoded
	Text        string              `json:"text"`
	HTML        string              `json:"html,omitempty"`
	Attachments []Attachment        `json:"attachments,omitempty"`
	Raw         []byte              `json:"-"`
	Size        int                 `json:"size"`                // of Raw
	Malformed   string              `json:"malformed,omitempty"` // why the rest of it was not understood
	// What became of it.
	Accepted  bool      `json:"accepted"`
	Code      int       `json:"code"`                // of the answer; 0: hung up without one
	Attempt   int       `json:"attempt"`             // 1 for the first arrival of this Message-ID, refused ones count
	Duplicate bool      `json:"duplicate,omitempty"` // accepted although one with this Message-ID was accepted before
	Fault     FaultKind `json:"fault,omitempty"`
}

// Attachment is a part that is neither the text nor the HTML of a message.
type Attachment struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// Bounds of the MIME tree.
const (
	maxDepth = 8
	maxParts = 200
)

// parse takes raw apart; what it does not understand it names in Malformed.
func parse(raw []byte) Message {
	m := Message{Raw: raw, Size: len(raw), Header: map[string][]string{}}
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		m.Malformed = err.Error()
		return m
	}
	words := mime.WordDecoder{CharsetReader: charset}
	for k, vs := range msg.Header {
		for _, v := range vs {
			if d, err := words.DecodeHeader(v); err == nil {
				v = d
			}
			m.Header[k] = append(m.Header[k], v)
		}
	}
	first := func(key string) string {
		if v := m.Header[key]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	m.Subject = first("Subject")
	m.MessageID = strings.Trim(strings.TrimSpace(first("Message-Id")), "<>")
	m.From, m.To, m.Cc = addresses(msg.Header, "From"), addresses(msg.Header, "To"), addresses(msg.Header, "Cc")
	parts := 0
	if err := m.part(textproto.MIMEHeader(msg.Header), msg.Body, 0, &parts); err != nil {
		m.Malformed = err.Error()
	}
	return m
}

func addresses(h mail.Header, key string) []string {
	list, err := h.AddressList(key)
	if err != nil {
		return nil
	}
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.Address
	}
	return out
}

// part reads one node of the MIME tree.
func (m *Message) part(h textproto.MIMEHeader, body io.Reader, depth int, parts *int) error {
	if *parts++; depth > maxDepth || *parts > maxParts {
		return fmt.Errorf("more than %d parts, or nested deeper than %d", maxParts, maxDepth)
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		kind, params = "text/plain", nil
	}
	if strings.HasPrefix(kind, "multipart/") {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := m.part(p.Header, p, depth+1, parts); err != nil {
				return err
			}
		}
	}
	content, err := io.ReadAll(transfer(h.Get("Content-Transfer-Encoding"), body))
	if err != nil {
		return err
	}
	disposition, dparams, _ := mime.ParseMediaType(h.Get("Content-Disposition")) // a broken one is none
	switch {
	case disposition != "attachment" && kind == "text/plain" && m.Text == "":
		m.Text = decoded(params["charset"], content)
	case disposition != "attachment" && kind == "text/html" && m.HTML == "":
		m.HTML = decoded(params["charset"], content)
	default:
		name := dparams["filename"]
		if name == "" {
			name = params["name"]
		}
		sum := sha256.Sum256(content)
		m.Attachments = append(m.Attachments, Attachment{name, kind, len(content), hex.EncodeToString(sum[:])})
	}
	return nil
}

// transfer undoes a Content-Transfer-Encoding.
func transfer(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	}
	return r
}

// decoded turns content into UTF-8 with plain line feeds.
func decoded(cs string, content []byte) string {
	if r, err := charset(cs, bytes.NewReader(content)); err == nil {
		if b, err := io.ReadAll(r); err == nil {
			content = b
		}
	}
	return strings.ReplaceAll(strings.ToValidUTF8(string(content), "\uFFFD"), "\r\n", "\n")
}

// charset reads Latin-1 as UTF-8; anything else is taken to be UTF-8.
func charset(cs string, r io.Reader) (io.Reader, error) {
	if cs = strings.ToLower(cs); cs != "iso-8859-1" && cs != "latin1" && cs != "windows-1252" {
		return r, nil
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return strings.NewReader(string(runes)), nil
}
