package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// Problem is one thing that is wrong with a document: where, what, and what to do about it.
type Problem struct {
	File         string `json:"file"`
	Line, Column int    `json:"-"`
	Message      string `json:"message"`
	Hint         string `json:"hint,omitempty"`
	// Excerpt shows the line, and a caret below the place.
	Excerpt string `json:"excerpt,omitempty"`
}

// Where is the place as editors read it: file:line:column.
func (p Problem) Where() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// String gives place, message and hint in one line.
func (p Problem) String() string {
	s := p.Where() + ": " + p.Message
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Problems is all that is wrong with one or several documents. As an error it lists them, one a line.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Report lists the problems with their excerpts, for a terminal.
func (ps Problems) Report() string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String() + "\n" + p.Excerpt)
	}
	return b.String()
}

// Sort orders the problems by place.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Err is nil if there are none: a Problems that is empty is not nil as an error.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// at makes a problem; column counts characters from 1.
func (s *source) at(line, column int, message, hint string) Problem {
	p := Problem{File: s.file, Line: line, Column: column, Message: message, Hint: hint}
	if line < 1 || line > len(s.lines) {
		return p
	}
	// Long lines are cut around the caret; tabs take one column, as the caret line counts.
	text := []rune(strings.ReplaceAll(s.lines[line-1], "\t", " "))
	caret := min(max(column-1, 0), len(text))
	if caret > 70 {
		text, caret = append([]rune("…"), text[caret-60:]...), 61
	}
	if len(text) > 110 {
		text = append(text[:109:109], '…')
	}
	p.Excerpt = fmt.Sprintf("%5d | %s\n      | %s^\n", line, string(text), strings.Repeat(" ", caret))
	return p
}

// Problem makes a problem at the node.
func (n *Node) Problem(message, hint string) Problem {
	return n.src.at(n.Line, n.Column, message, hint)
}

// ProblemAt makes a problem at a byte offset inside the text of a String node.
func (n *Node) ProblemAt(offset int, message, hint string) Problem {
	line, column := n.place(offset)
	return n.src.at(line, column, message, hint)
}

// KeyProblem makes a problem at a key of a map; at the map itself if it has no such key.
func (n *Node) KeyProblem(key, message, hint string) Problem {
	for _, m := range n.Members {
		if m.Key == key {
			return n.src.at(m.Line, m.Column, message, hint)
		}
	}
	return n.Problem(message, hint)
}

// File is the name of the file that the node is from.
func (n *Node) File() string { return n.src.file }

// place finds the line and column of a byte offset inside a string: it goes through the value and the text of the file side by side, past
// escapes, folds and indentation.
func (n *Node) place(offset int) (line, column int) {
	line, column = n.Line, n.Column
	switch n.style {
	case token.DoubleQuoteType, token.SingleQuoteType:
		column++
	case token.LiteralType, token.FoldedType:
		line, column = line+1, 1
	}
	for i, r := range n.Text() {
		line, column = n.align(line, column, r)
		if i >= offset {
			return line, column
		}
		line, column = n.step(line, column, r)
	}
	return line, column
}

// align skips what stands in the file before the character r of the value: line breaks, indentation, escapes that give nothing.
func (n *Node) align(line, column int, r rune) (int, int) {
	if r == ' ' || r == '\n' {
		return line, column
	}
	for line <= len(n.src.lines) {
		text := []rune(n.src.lines[line-1])
		for column <= len(text) && (text[column-1] == ' ' || text[column-1] == '\t') {
			column++
		}
		atFold := n.style == token.DoubleQuoteType && column == len(text) && text[column-1] == '\\'
		if column <= len(text) && !atFold {
			return line, column
		}
		line, column = line+1, 1
	}
	return n.Line, n.Column
}

// step goes past the character r of the value.
func (n *Node) step(line, column int, r rune) (int, int) {
	if line > len(n.src.lines) {
		return line, column
	}
	text := []rune(n.src.lines[line-1])
	switch {
	case column > len(text):
		return line + 1, 1
	case n.style == token.SingleQuoteType && r == '\'':
		return line, column + 2
	case n.style == token.DoubleQuoteType && text[column-1] == '\\' && column < len(text):
		switch text[column] {
		case 'x':
			return line, column + 4
		case 'u':
			return line, column + 6
		case 'U':
			return line, column + 10
		}
		return line, column + 2
	case r == '\n':
		return line + 1, 1
	}
	return line, column + 1
}
