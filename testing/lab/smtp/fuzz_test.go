package smtpsink

import (
	"testing"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte("From: a@corp.test\r\nSubject: =?iso-8859-1?q?Ger=E4t?=\r\n\r\ntext\r\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nZ3J1ZXNzZQ==\r\n--b\r\n" +
		"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/html; charset=latin1\r\n\r\n<p>\xfc</p>\r\n--c--\r\n--b--\r\n"))
	f.Add([]byte("Content-Disposition: attachment; filename=x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4=\r\n"))
	f.Add([]byte("no header"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := parse(raw)
		if m.Size != len(raw) || !utf8.ValidString(m.Text) || !utf8.ValidString(m.HTML) {
			t.Errorf("size %d of %d, text %q, html %q", m.Size, len(raw), m.Text, m.HTML)
		}
		if len(m.Attachments) > maxParts {
			t.Errorf("%d attachments", len(m.Attachments))
		}
	})
}
