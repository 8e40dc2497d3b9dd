package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// relay takes one mail.
func relay(t *testing.T, mail *abi.MailRequest, warnings *[]string) pdk.Stub {
	return func(fn string, raw []byte) abi.Reply {
		switch fn {
		case "mail.send":
			if err := json.Unmarshal(raw, mail); err != nil {
				t.Error(err)
			}
			return pdk.Value(abi.MailResponse{MessageID: "<1@riposte.corp.test>"})
		case "log.write":
			var e abi.LogEntry
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Error(err)
			}
			*warnings = append(*warnings, e.Message)
		}
		return pdk.Value(struct{}{})
	}
}

func TestSend(t *testing.T) {
	var mail abi.MailRequest
	var warnings []string
	got, fault := pdk.Try(send, settings{}, params{To: []string{"a@corp.test", "A@corp.test"}, Cc: []string{"b@corp.test", "a@CORP.test"},
		Subject: "Two\r\nBcc: x@corp.test", Text: "# Hello\n\nsee [this](https://evil.example) & **that**"}, relay(t, &mail, &warnings))
	if fault != nil || got.MessageID != "<1@riposte.corp.test>" || strings.Join(got.To, " ") != "a@corp.test b@corp.test" {
		t.Errorf("got %+v %v", got, fault)
	}
	if mail.Capability != "relay" || strings.Join(mail.To, " ") != "a@corp.test" || strings.Join(mail.Cc, " ") != "b@corp.test" || mail.Subject != "Two  Bcc: x@corp.test" {
		t.Errorf("mail %+v", mail)
	}
	if mail.Text != "# Hello\n\nsee [this](https://evil.example) & **that**" ||
		!strings.Contains(mail.HTML, "<h1>Hello</h1>\n<p>see [this](https://evil.example) &amp; <strong>that</strong></p>") {
		t.Errorf("text %q html %q", mail.Text, mail.HTML)
	}
	if _, fault = pdk.Try(send, settings{Login: true}, params{To: []string{"a@corp.test"}, Subject: "x", Text: "x"}, relay(t, &mail, &warnings)); fault != nil || mail.Capability != "relay-login" {
		t.Errorf("%v %s", fault, mail.Capability)
	}
}

func TestTemplateInMail(t *testing.T) {
	var mail abi.MailRequest
	var warnings []string
	const text = "# {{host}} needs a look\n\nOwner: {{asset.owner}} ({{asset.phone}})\n\nIt talked to:\n\n{{#addresses}}\n- {{.}}\n{{/addresses}}\n{{^addresses}}\n- nobody\n{{/addresses}}\n\nSee [the report]({{link}}).\n"
	_, fault := pdk.Try(send, nil, params{To: []string{"a@corp.test"}, Subject: "x", Template: text,
		Data: json.RawMessage(`{"host":"ws-1 <b>*bold*</b>\n# no heading","asset":{"owner":"it@corp.test"},"addresses":["203.0.113.9","[x](https://evil.example)"],"link":"https://riposte.corp.test/i/7?a=1&b=2"}`)}, relay(t, &mail, &warnings))
	if fault != nil {
		t.Fatal(fault)
	}
	wantText := "# ws-1 <b>*bold*</b>\n# no heading needs a look\n\nOwner: it@corp.test ()\n\nIt talked to:\n\n- 203.0.113.9\n- [x](https://evil.example)\n\nSee [the report](https://riposte.corp.test/i/7?a=1&b=2).\n"
	if mail.Text != wantText {
		t.Errorf("text %q", mail.Text)
	}
	for _, want := range []string{
		"<h1>ws-1 &lt;b&gt;*bold*&lt;/b&gt;<br>\n# no heading needs a look</h1>\n",
		"<ul>\n<li>203.0.113.9</li>\n<li>[x](https://evil.example)</li></ul>\n",
		`<a href="https://riposte.corp.test/i/7?a=1&amp;b=2">the report</a>`,
	} {
		if !strings.Contains(mail.HTML, want) {
			t.Errorf("html has no %q:\n%s", want, mail.HTML)
		}
	}
	if strings.Join(warnings, "\n") != "the template asks for what the data do not have: asset.phone" {
		t.Errorf("warnings %q", warnings)
	}
}

func TestTextOrTemplate(t *testing.T) {
	for _, p := range []params{{To: []string{"a@corp.test"}, Subject: "x"}, {To: []string{"a@corp.test"}, Subject: "x", Text: "x", Template: "x"}} {
		if _, fault := pdk.Try(send, nil, p, nil); fault == nil || fault.Kind != abi.Invalid {
			t.Errorf("got %v", fault)
		}
	}
}

func TestFaultsOfTheRelay(t *testing.T) {
	want := abi.Fault{Kind: abi.Refused, Message: `recipient "x@evil.example" is not granted`}
	_, fault := pdk.Try(send, nil, params{To: []string{"x@evil.example"}, Subject: "x", Text: "x"}, func(string, []byte) abi.Reply { return abi.Reply{Fault: &want} })
	if fault == nil || *fault != want {
		t.Errorf("got %v", fault)
	}
}

// Each file of testdata has a template, data and the text, then the HTML inside of the body, with lines of three equal signs between.
func TestGolden(t *testing.T) {
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file.IsDir() {
			continue
		}
		raw, err := os.ReadFile("testdata/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		sections := strings.Split(string(raw), "===\n")
		if len(sections) != 4 {
			t.Fatalf("%s has %d sections", file.Name(), len(sections))
		}
		var mail abi.MailRequest
		var warnings []string
		_, fault := pdk.Try(send, nil, params{To: []string{"a@corp.test"}, Subject: "x", Template: sections[0], Data: json.RawMessage(sections[1])}, relay(t, &mail, &warnings))
		_, html, _ := strings.Cut(mail.HTML, "<body>\n")
		html = strings.TrimSuffix(html, "</body></html>\n")
		if fault != nil || mail.Text != sections[2] || html != sections[3] {
			t.Errorf("%s: %v\n%s===\n%s", file.Name(), fault, mail.Text, html)
		}
	}
}

func TestWrongTemplates(t *testing.T) {
	for text, where := range map[string]string{
		"a\n{{b": "template:2", "{{#a}}\n": "template:1", "\n\n{{/a}}": "template:3", "{{#a}}{{#b}}{{/a}}{{/b}}": "template:1", "{{}}": "template:1",
		"{{a..b}}": "template:1", "{{a b}}": "template:1", "{{{a}}}": "template:1", "{{> x}}": "template:1", "{{\n}}": "template:1",
		strings.Repeat("{{#a}}", 30): "template:1",
	} {
		if _, err := parseTemplate(text); abi.AsFault(err) == nil || abi.AsFault(err).Where != where {
			t.Errorf("%q: got %v, want %s", text, err, where)
		}
	}
}

func TestLargeOutputIsRefused(t *testing.T) {
	list := "[" + strings.Repeat("[1,1,1,1,1,1,1,1,1,1],", 5000) + "[]]"
	parsed, err := parseTemplate("{{#l}}{{#.}}{{#.}}{{#l}}x{{/l}}{{/.}}{{/.}}{{/l}}")
	if err != nil {
		t.Fatal(err)
	}
	data, err := decodeData(json.RawMessage(`{"l":` + list + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := parsed.render(data, plain); abi.AsFault(err) == nil || abi.AsFault(err).Kind != abi.TooLarge {
		t.Errorf("got %v", err)
	}
}

func FuzzMail(f *testing.F) {
	f.Add("{{#a}}- **{{.}}** `{{.}}` [x]({{.}})\n{{/a}}", `{"a":["*","<b>","http","javascript:alert(1)","https://x/\"onload="]}`)
	f.Add("# a\n\n> b\n1. c\n```\n{{a}}\n```\n---\n\\* _x_ *y*\n\n|a|{{a}}|\n|-|-|\n|x|\n||", `{"a":"\u0001<script>"}`)
	f.Fuzz(func(t *testing.T, text, data string) {
		parsed, err := parseTemplate(text)
		if err != nil {
			return
		}
		value, err := decodeData(json.RawMessage(data))
		if err != nil {
			return
		}
		markdown, _, err := parsed.render(value, inert)
		if err != nil {
			return
		}
		html := page(markdown, true)
		known := strings.NewReplacer("<!DOCTYPE html>", "", "<html>", "", "<head>", "", `<meta charset="utf-8">`, "", "</head>", "", "<body>", "", "</body>", "", "</html>", "",
			"<p>", "", "</p>", "", "<br>", "", "<hr>", "", "<ul>", "", "</ul>", "", "<ol>", "", "</ol>", "", "<li>", "", "</li>", "", "<em>", "", "</em>", "", "<strong>", "", "</strong>", "",
			"<code>", "", "</code>", "", "<pre>", "", "</pre>", "", "<blockquote>", "", "</blockquote>", "", "<table>", "", "</table>", "", "<tr>", "", "</tr>", "", "<th>", "", "</th>", "", "<td>", "", "</td>", "", "<h1>", "", "</h1>", "", "<h2>", "", "</h2>", "", "<h3>", "", "</h3>", "",
			"<h4>", "", "</h4>", "", "<h5>", "", "</h5>", "", "<h6>", "", "</h6>", "", `<a href="http:`, "", `<a href="https:`, "", `<a href="mailto:`, "", `">`, "", "</a>", "")
		if rest := known.Replace(html); strings.ContainsAny(rest, "<>\"\x01") {
			t.Errorf("%q", html)
		}
	})
}
