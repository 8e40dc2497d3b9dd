package main

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// page makes an HTML document of simple Markdown: headings (#), lists (- and 1.), quotes (>), rules (---), code (``` and `), emphasis (* ** _),
// tables (| a | b |), links to http, https and mailto if they are wanted, and paragraphs. HTML in it is text, and so is a character behind the mark literal.
func page(markdown string, links bool) string {
	w := &writer{links: links}
	if !links {
		markdown = plain(markdown)
	}
	w.blocks(lines(markdown))
	return "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head><body>\n" + w.out.String() + "</body></html>\n"
}

// lines cuts at line ends that are no part of a value.
func lines(s string) []string {
	var all []string
	begin := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case literal:
			i++
		case '\n':
			all = append(all, strings.TrimSuffix(s[begin:i], "\r"))
			begin = i + 1
		}
	}
	return append(all, s[begin:])
}

type writer struct {
	out   strings.Builder
	links bool
}

// blocks writes one block after the other.
func (w *writer) blocks(all []string) {
	for len(all) > 0 {
		line := strings.TrimSpace(all[0])
		level := len(line) - len(strings.TrimLeft(line, "#"))
		switch {
		case line == "":
			all = all[1:]
		case strings.HasPrefix(line, "```"):
			all = w.fence(all[1:])
		case level >= 1 && level <= 6 && strings.HasPrefix(line[level:], " "):
			tag := "h" + string(rune('0'+level))
			w.out.WriteString("<" + tag + ">" + w.inline(strings.TrimSpace(line[level:])) + "</" + tag + ">\n")
			all = all[1:]
		case len(line) >= 3 && strings.Trim(line, "-") == "":
			w.out.WriteString("<hr>\n")
			all = all[1:]
		case strings.HasPrefix(line, ">"):
			all = w.while("blockquote", "", all, func(l string) (string, bool) { return strings.CutPrefix(l, ">") })
		case strings.HasPrefix(line, "|"):
			all = w.table(all)
		case isItem(bullet, line):
			all = w.while("ul", "li", all, bullet)
		case isItem(numbered, line):
			all = w.while("ol", "li", all, numbered)
		default:
			all = w.while("p", "", all, func(l string) (string, bool) { return l, l != "" && !beginsBlock(l) })
		}
	}
}

// while writes the lines that take accepts as one block, each in its own inner element if there is one. The first line is always taken.
func (w *writer) while(outer, inner string, all []string, take func(string) (string, bool)) []string {
	w.out.WriteString("<" + outer + ">")
	var text []string
	for i := 0; len(all) > 0; i++ {
		content, ok := take(strings.TrimSpace(all[0]))
		if !ok && i > 0 {
			break
		}
		if !ok {
			content = all[0]
		}
		text = append(text, strings.TrimSpace(content))
		all = all[1:]
	}
	if inner == "" {
		w.out.WriteString(w.inline(strings.Join(text, "\n")))
	}
	for _, item := range text {
		if inner != "" {
			w.out.WriteString("\n<" + inner + ">" + w.inline(item) + "</" + inner + ">")
		}
	}
	w.out.WriteString("</" + outer + ">\n")
	return all
}

func bullet(line string) (string, bool) {
	if len(line) > 1 && (line[0] == '-' || line[0] == '*') && line[1] == ' ' {
		return line[2:], true
	}
	return "", false
}

func numbered(line string) (string, bool) {
	rest := strings.TrimLeft(line, "0123456789")
	if len(rest) == len(line) || len(line)-len(rest) > 9 {
		return "", false
	}
	return strings.CutPrefix(rest, ". ")
}

func isItem(take func(string) (string, bool), line string) bool {
	_, ok := take(line)
	return ok
}

func beginsBlock(line string) bool {
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, "```") || strings.HasPrefix(line, ">") ||
		strings.HasPrefix(line, "|") || isItem(bullet, line) || isItem(numbered, line) || len(line) >= 3 && strings.Trim(line, "-") == ""
}

// table writes the lines that begin with a bar. The first is the head, if a line of dashes follows it; an empty head is left out.
func (w *writer) table(all []string) []string {
	w.out.WriteString("<table>\n")
	row := func(line, tag string) {
		w.out.WriteString("<tr>")
		for _, cell := range cells(line) {
			w.out.WriteString("<" + tag + ">" + w.inline(cell) + "</" + tag + ">")
		}
		w.out.WriteString("</tr>\n")
	}
	if len(all) > 1 && strings.Contains(all[1], "-") && strings.Trim(all[1], "|-: \t") == "" {
		if strings.Trim(all[0], "| \t") != "" {
			row(all[0], "th")
		}
		all = all[2:]
	}
	for len(all) > 0 && strings.HasPrefix(strings.TrimSpace(all[0]), "|") {
		row(all[0], "td")
		all = all[1:]
	}
	w.out.WriteString("</table>\n")
	return all
}

// cells cuts a line at its bars.
func cells(line string) []string {
	rest := strings.TrimPrefix(strings.TrimSpace(line), "|")
	var all []string
	for rest != "" {
		end := find(rest, "|")
		if end < 0 {
			end = len(rest)
		}
		all = append(all, strings.TrimSpace(rest[:end]))
		rest = rest[min(end+1, len(rest)):]
	}
	return all
}

// fence writes code up to the closing fence, or the end.
func (w *writer) fence(all []string) []string {
	w.out.WriteString("<pre>")
	for len(all) > 0 {
		line := all[0]
		all = all[1:]
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			break
		}
		w.out.WriteString(html.EscapeString(bare(line)) + "\n")
	}
	w.out.WriteString("</pre>\n")
	return all
}

// reach is how far, in bytes, the end of an emphasis, a code or a link is looked for.
const reach = 1024

// inline writes what is inside a block.
func (w *writer) inline(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == literal && i+1 < len(s):
			r, n := utf8.DecodeRuneInString(s[i+1:])
			if r == '\n' {
				out.WriteString("<br>")
			}
			out.WriteString(html.EscapeString(s[i+1 : i+1+n]))
			i += 1 + n
			continue
		case r == '\\' && i+1 < len(s) && s[i+1] < utf8.RuneSelf && (unicode.IsPunct(rune(s[i+1])) || unicode.IsSymbol(rune(s[i+1]))):
			out.WriteString(html.EscapeString(s[i+1 : i+2]))
			i += 2
			continue
		case r == '`' || r == '*' || r == '_' || r == '[' && w.links:
			if markup, n := w.span(s, i); n > 0 {
				out.WriteString(markup)
				i += n
				continue
			}
		}
		if r != literal {
			out.WriteString(html.EscapeString(s[i : i+size]))
		}
		i += size
	}
	return out.String()
}

// span writes a code, an emphasis or a link that begins at i, and gives its length; 0 if there is none.
func (w *writer) span(s string, i int) (markup string, length int) {
	rest := s[i:min(len(s), i+reach)]
	mark := rest[:1]
	switch {
	case mark == "[":
		return w.link(rest)
	case strings.HasPrefix(rest, "**"):
		mark = "**"
	case mark == "_" && i > 0 && isWord(s[i-1]):
		return "", 0
	}
	end := find(rest[len(mark):], mark)
	if end <= 0 {
		return "", 0
	}
	content := rest[len(mark) : len(mark)+end]
	length = end + 2*len(mark)
	switch {
	case mark == "`":
		return "<code>" + html.EscapeString(bare(content)) + "</code>", length
	case content[0] == ' ' || content[len(content)-1] == ' ' || mark == "_" && i+length < len(s) && isWord(s[i+length]):
		return "", 0
	case mark == "**":
		return "<strong>" + w.inline(content) + "</strong>", length
	}
	return "<em>" + w.inline(content) + "</em>", length
}

// link reads [text](address).
func (w *writer) link(s string) (markup string, length int) {
	end := find(s[1:], "](")
	if end <= 0 {
		return "", 0
	}
	label, rest := s[1:1+end], s[1+end+2:]
	stop := find(rest, ")")
	if stop <= 0 {
		return "", 0
	}
	address := bare(rest[:stop])
	scheme, _, ok := strings.Cut(address, ":")
	if !ok || scheme != "http" && scheme != "https" && scheme != "mailto" || strings.ContainsAny(address, " \n\t\"'<>") {
		return "", 0
	}
	inner := &writer{}
	return `<a href="` + html.EscapeString(address) + `">` + inner.inline(label) + "</a>", 1 + end + 2 + stop + 1
}

// find gives the place of mark, but not where it belongs to a value or stands behind a backslash; -1 for none.
func find(s, mark string) int {
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], mark):
			return i
		case s[i] == literal || s[i] == '\\':
			i++
		}
	}
	return -1
}

func isWord(c byte) bool {
	return c >= utf8.RuneSelf || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// bare takes the marks of values away.
func bare(s string) string { return strings.ReplaceAll(s, string(literal), "") }
