// Command mail is a plugin that sends mail whose text is Markdown, given as it is or as a template with data.
package main

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

type settings struct {
	Login bool `json:"login"`
}

type params struct {
	To      []string `json:"to"`
	Cc      []string `json:"cc"`
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
	// Template is the text of the template: the engine has put it in the place of its name.
	Template string          `json:"template"`
	Data     json.RawMessage `json:"data"`
}

type result struct {
	MessageID string   `json:"message_id"`
	To        []string `json:"to"`
}

var _ = pdk.Learn(new(settings))

//go:wasmexport send
func sendExport() int32 { return pdk.Run(send) }

func main() {}

func send(c *pdk.Call, p params) (result, error) {
	var s settings
	if err := c.Settings(&s); err != nil {
		return result{}, err
	}
	text, html, err := bodies(c, p)
	if err != nil {
		return result{}, err
	}
	capability := "relay"
	if s.Login {
		capability = "relay-login"
	}
	to := unique(p.To, nil)
	cc := unique(p.Cc, to)
	id, err := c.Mail(capability).Send(abi.MailRequest{To: to, Cc: cc, Subject: oneLine(p.Subject), Text: text, HTML: html})
	return result{id, append(to, cc...)}, err
}

// bodies makes the two forms of the text. Markup in what a runbook put together as text may come from anywhere, so links are not made of it;
// the values of a template are kept apart from its own markup.
func bodies(c *pdk.Call, p params) (text, html string, err error) {
	if (p.Text == "") == (p.Template == "") {
		return "", "", pdk.Fail(abi.Invalid, "a mail has either a text or a template", "give one of the two")
	}
	if p.Text != "" {
		return p.Text, page(p.Text, false), nil
	}
	t, err := parseTemplate(p.Template)
	if err != nil {
		return "", "", err
	}
	data, err := decodeData(p.Data)
	if err != nil {
		return "", "", err
	}
	text, absent, err := t.render(data, plain)
	if err != nil {
		return "", "", err
	}
	if len(absent) > 0 {
		c.Warn("the template asks for what the data do not have: " + strings.Join(absent, ", "))
	}
	markdown, _, err := t.render(data, inert)
	return text, page(markdown, true), err
}

// unique leaves out what occurs before, in the list or in another one; case does not count.
func unique(list, before []string) []string {
	var out []string
	for _, s := range list {
		same := func(other string) bool { return strings.EqualFold(s, other) }
		if !slices.ContainsFunc(out, same) && !slices.ContainsFunc(before, same) {
			out = append(out, s)
		}
	}
	return out
}

// oneLine makes spaces of line ends and other control characters.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
}
