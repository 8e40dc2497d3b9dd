package rule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const outbound = `rule: logpoint-malicious-outbound
when: observer.product == "LogPoint" && rule.name.contains("outbound") && !(destination.ip in lists.partners)
dedupe: {by: [source.ip, destination.ip], window: 10m}
template: malicious-outbound
order: 10
`

const outboundTemplate = `template: malicious-outbound
type: network-traffic
title: "${{ source.ip }} talked to ${{ destination.ip }}"
category: command-and-control
severity: from-alarm
queue: soc-tier-2
tlp: AMBER
attack: [T1071]
artifacts: {src_ip: source.ip, dst_ip: destination.ip, src_port: source.port, dst_port: destination.port, bytes_in: source.bytes, who: {from: user.name}, odd: {from: ext.labels.Case Number, kind: text}}
runbook: malicious-outbound
autorun: true
sla: {respond: 15m, contain: 60m}
`

func lists() map[string][]string {
	return map[string][]string{"partners": {"203.0.113.0/24", "198.51.100.7"}}
}

func alarm(mods ...func(map[string]any)) map[string]any {
	doc := map[string]any{
		"uid": "A1", "severity": map[string]any{"name": "high", "score": int64(80)},
		"observer":    map[string]any{"product": "LogPoint", "vendor": "LogPoint"},
		"rule":        map[string]any{"name": "Suspicious outbound traffic"},
		"source":      map[string]any{"ip": "10.1.2.3", "port": int64(50123), "bytes": int64(900)},
		"destination": map[string]any{"ip": "192.0.2.66", "port": int64(443)},
		"tags":        []any{"c2", "beacon"},
		"ext":         map[string]any{"sev": "9", "labels": map[string]any{"Case Number": "77", "a.b": "dotted"}},
	}
	for _, m := range mods {
		m(doc)
	}
	return doc
}

func set(path string, v any) func(map[string]any) {
	head, leaf, _ := strings.Cut(path, ".")
	return func(doc map[string]any) {
		inner, ok := doc[head].(map[string]any)
		if !ok {
			inner = map[string]any{}
			doc[head] = inner
		}
		inner[leaf] = v
	}
}

func load(t testing.TB, files ...string) *Set {
	t.Helper()
	s, problems := Load(named(files...), Options{Lists: lists()})
	if len(problems) > 0 {
		t.Fatal(problems.Report())
	}
	return s
}

// named gives each text the file name that it must have.
func named(texts ...string) []File {
	var out []File
	for _, text := range texts {
		first, _, _ := strings.Cut(text, "\n")
		_, id, _ := strings.Cut(first, ": ")
		out = append(out, File{Name: id + ".yaml", Data: []byte(text)})
	}
	return out
}

func TestMatchFillsTheIncident(t *testing.T) {
	s := load(t, outbound, outboundTemplate)
	matches, warnings := s.Match(t.Context(), alarm())
	if len(matches) != 1 || len(warnings) != 0 {
		t.Fatalf("matches %v, warnings %v", matches, warnings)
	}
	m := matches[0]
	if m.Title != "10.1.2.3 talked to 192.0.2.66" || m.Severity != "high" || m.Window != 10*time.Minute || m.Template.Contain != time.Hour {
		t.Errorf("match is %+v", m)
	}
	var got []string
	for _, a := range m.Artifacts {
		got = append(got, fmt.Sprintf("%s %s %v", a.Name, a.Kind, a.Value))
	}
	// user.name is absent, so there is no artifact "who".
	want := []string{"bytes_in number 900", "dst_ip ip 192.0.2.66", "dst_port port 443", "odd text 77", "src_ip ip 10.1.2.3", "src_port port 50123"}
	if !slices.Equal(got, want) {
		t.Errorf("artifacts are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestListsHoldNetworks(t *testing.T) {
	s := load(t, outbound, outboundTemplate)
	for ip, want := range map[string]int{"203.0.113.200": 0, "198.51.100.7": 0, "198.51.100.8": 1, "::ffff:203.0.113.9": 0, "": 1} {
		matches, warnings := s.Match(t.Context(), alarm(set("destination.ip", ip)))
		if len(matches) != want || len(warnings) != 0 {
			t.Errorf("%q: %d matches, want %d; warnings %v", ip, len(matches), want, warnings)
		}
	}
}

func TestDedupeKey(t *testing.T) {
	s := load(t, outbound, outboundTemplate)
	key := func(mods ...func(map[string]any)) string {
		m, _ := s.Match(t.Context(), alarm(mods...))
		return m[0].Key
	}
	if key() != key(set("source.port", int64(1))) {
		t.Error("the key depends on a field that is not in dedupe")
	}
	if key() == key(set("source.ip", "10.1.2.4")) {
		t.Error("the key does not depend on a field that is in dedupe")
	}
	if k := key(func(d map[string]any) { delete(d, "source"); delete(d, "destination") }); k != "" {
		t.Errorf("an alarm without any of the fields has the key %q", k)
	}
}

func TestMatchSugar(t *testing.T) {
	for entry, want := range map[string]bool{
		"observer.product: LogPoint":                      true,
		"observer.product: [Splunk, LogPoint]":            true,
		"observer.product: logpoint":                      false,
		"observer.product|nocase: LOGPOINT":               true,
		"observer.product|not: LogPoint":                  false,
		"rule.name|contains: outbound":                    true,
		"rule.name|contains: [inbound, outbound]":         true,
		"rule.name|contains|not: inbound":                 true,
		"rule.name|startswith: Susp":                      true,
		"rule.name|endswith: traffic":                     true,
		"rule.name|re: '^Susp.*traffic$'":                 true,
		"source.ip|cidr: 10.0.0.0/8":                      true,
		"source.ip|cidr: [192.168.0.0/16, 172.16.0.0/12]": false,
		"client.ip|cidr: 10.0.0.0/8":                      false, // absent: no address, no match, no error
		"destination.port: 443":                           true,
		"destination.port|gt: 442":                        true,
		"destination.port|lte: 442":                       false,
		"client.port|lt: 10":                              false, // absent is not less than 10
		"severity.score|gte: 80":                          true,
		"tags: beacon":                                    true,
		"tags|contains: bea":                              true,
		"tags|startswith: x":                              false,
		"destination.ip|in: lists.partners":               false,
		"destination.ip|in|not: lists.partners":           true,
		"source.ip|in: [10.1.2.3, 10.1.2.4]":              true,
		"user.name|exists: false":                         true,
		"source.ip|exists: true":                          true,
		"ext.sev: '9'":                                    true,
		"ext.labels.Case Number: '77'":                    true,
		"ext.labels.a.b: dotted":                          true,
		"ext.labels.nothing: x":                           false,
		"ext.labels.nothing|contains: x":                  false,
		"ext.labels.nothing|exists: false":                true,
		"ext.labels.a.b|exists: true":                     true,
		"message|exists: false":                           true,
		"tags|exists: true":                               true,
		"parse.clean: false":                              true, // absent reads as false
		`rule.name: "quote \" and \\ backslash"`:          false,
	} {
		s := load(t, "rule: r\ntemplate: t\nmatch:\n  "+entry+"\n", "template: t\ntype: x\ntitle: x\n")
		matches, warnings := s.Match(t.Context(), alarm())
		if (len(matches) == 1) != want {
			t.Errorf("%s: %t, want %t; it is %s", entry, !want, want, s.Rules()[0].When())
		}
		if len(warnings) > 0 {
			t.Errorf("%s: %v", entry, warnings)
		}
	}
}

func TestOrderAndContinue(t *testing.T) {
	rule := func(id string, order int, extra string) string {
		return fmt.Sprintf("rule: %s\nwhen: \"true\"\ntemplate: t\norder: %d\n%s", id, order, extra)
	}
	s := load(t, "template: t\ntype: x\ntitle: x\n", rule("last", 30, ""), rule("second", 20, ""), rule("first", 10, "continue: true\n"), rule("off", 1, "disabled: true\n"))
	matches, _ := s.Match(t.Context(), alarm())
	if len(matches) != 2 || matches[0].Rule != "first" || matches[1].Rule != "second" {
		t.Errorf("matches are %v", matches)
	}
}

func TestOneRulesErrorStopsNoOther(t *testing.T) {
	s := load(t, "template: t\ntype: x\ntitle: x\n",
		"rule: broken\nwhen: 10 / destination.packets > 1\ntemplate: t\norder: 1\n", "rule: good\nwhen: \"true\"\ntemplate: t\n")
	matches, warnings := s.Match(t.Context(), alarm())
	if len(matches) != 1 || matches[0].Rule != "good" || len(warnings) != 1 || warnings[0].Rule != "broken" {
		t.Errorf("matches %v, warnings %v", matches, warnings)
	}
}

// The index must not change what matches: random rules over few words, against random alarms, with and without it.
func TestIndexEqualsLinear(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"alpha", "beta", "gamma", "delta"}
	word := func() string { return words[r.IntN(len(words))] }
	fields := []string{"rule.name", "observer.product", "user.name", "message"}
	condition := func() string {
		f := fields[r.IntN(len(fields))]
		switch r.IntN(6) {
		case 0:
			return fmt.Sprintf("%s == %q", f, word())
		case 1:
			return fmt.Sprintf("%s in [%q, %q]", f, word(), word())
		case 2:
			return fmt.Sprintf("%s.contains(%q)", f, word())
		case 3:
			return fmt.Sprintf("!(%s == %q)", f, word())
		case 4:
			return fmt.Sprintf("(%s == %q || %s.contains(%q))", f, word(), f, word())
		}
		return fmt.Sprintf("%q == %s", word(), f)
	}
	files := []string{"template: t\ntype: x\ntitle: x\n"}
	for i := range 200 {
		parts := []string{condition()}
		for range r.IntN(3) {
			parts = append(parts, condition())
		}
		files = append(files, fmt.Sprintf("rule: r%d\nwhen: %s\ntemplate: t\ncontinue: true\norder: %d\n", i, "'"+strings.Join(parts, " && ")+"'", r.IntN(10)))
	}
	s := load(t, files...)
	all := make([]int, len(s.rules))
	for i := range all {
		all[i] = i
	}
	total := 0
	for range 500 {
		var mods []func(map[string]any)
		for _, f := range fields[:3] {
			if r.IntN(4) > 0 {
				mods = append(mods, set(f, word()+word()[:r.IntN(3)]))
			}
		}
		doc := alarm(mods...)
		doc["message"] = word() + " " + word()
		with, _ := s.Match(t.Context(), doc)
		without, _ := s.match(t.Context(), doc, all)
		if fmt.Sprint(ids(with)) != fmt.Sprint(ids(without)) {
			t.Fatalf("with the index %v, without it %v", ids(with), ids(without))
		}
		total += len(with)
	}
	if total == 0 {
		t.Error("nothing matched at all: the test proves nothing")
	}
}

func ids(matches []Match) []string {
	var out []string
	for _, m := range matches {
		out = append(out, m.Rule)
	}
	return out
}

func thousand(b *testing.B, condition func(i int) string) *Set {
	files := []string{outboundTemplate}
	for i := range 1000 {
		files = append(files, fmt.Sprintf("rule: r%d\nwhen: '%s'\ntemplate: malicious-outbound\ncontinue: true\n", i, condition(i)))
	}
	return load(b, files...)
}

func BenchmarkMatch(b *testing.B) {
	for name, condition := range map[string]func(int) string{
		"equal": func(i int) string {
			return fmt.Sprintf(`observer.product == "LogPoint" && rule.name == "Rule number %d" && destination.port > 80`, i)
		},
		"contains": func(i int) string {
			return fmt.Sprintf(`observer.product == "LogPoint" && rule.name.contains("number %d") && destination.port > 80`, i)
		},
		"none": func(i int) string { return fmt.Sprintf(`destination.port > %d && source.ip != "10.9.9.9"`, 1000+i) },
	} {
		s := thousand(b, condition)
		doc := alarm(set("rule.name", "Rule number 77"))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.Match(b.Context(), doc)
			}
		})
	}
}
