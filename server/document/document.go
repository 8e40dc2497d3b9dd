// Package document reads the YAML of rules, templates, runbooks and settings, strictly: unknown keys, duplicate keys, anchors, aliases, tags,
// tabs as indentation, several documents in a file and anything over size or depth are problems. A Node knows where it stands, so that what is
// found out later (a misspelt field in an expression) still names file, line and column. It is the single door to the YAML library; what it
// reads is YAML 1.2 (https://yaml.org/spec/1.2.2/) without the features above. JSON is read too.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a document.
const (
	MaxSize  = 1 << 20 // bytes
	MaxDepth = 48      // levels of lists and maps
	// MaxKeys bounds the keys of all maps together: the library takes a time that grows with the square of their number.
	MaxKeys = 10_000
)

// Kind is the sort of a node.
type Kind string

// The kinds of nodes, in words for people.
const (
	Null    Kind = "null"
	Bool    Kind = "true or false"
	Integer Kind = "a whole number"
	Number  Kind = "a number"
	String  Kind = "text"
	List    Kind = "a list"
	Map     Kind = "a map"
)

// Node is one value of a document, and its place. It is not changed after it was read.
type Node struct {
	Kind         Kind
	Line, Column int      // of its first character, counted from 1; columns in characters
	Scalar       any      // bool, int64, float64 or string
	Items        []*Node  // of a List
	Members      []Member // of a Map, in the order of the file

	src   *source
	style token.Type // of a String: how it is written
}

// Member is one key of a map with its value.
type Member struct {
	Key          string
	Line, Column int
	Value        *Node
}

// source is the file that a node is from.
type source struct {
	file  string
	lines []string
}

// Parse reads a document. The node is nil if there are problems.
func Parse(file string, data []byte) (*Node, Problems) {
	src := &source{file: file}
	if len(data) > MaxSize {
		return nil, Problems{{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("the file has %d bytes, at most %d are read", len(data), MaxSize)}}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	src.lines = strings.Split(string(data), "\n")
	if p := src.checkText(data); p != nil {
		return nil, p
	}
	tokens := lexer.Tokenize(string(data))
	if p := src.checkTokens(tokens); p != nil {
		return nil, p
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, Problems{src.syntax(err)}
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		return nil, Problems{src.at(1, 1, "the document is empty", "")}
	}
	r := &reader{src: src}
	n := r.node(tree.Docs[0].Body, 0)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return n, nil
}

// checkText refuses what the scanner of the library is not asked to judge.
func (s *source) checkText(data []byte) Problems {
	if !utf8.Valid(data) {
		for i, line := range s.lines {
			if !utf8.ValidString(line) {
				return Problems{s.at(i+1, 1, "this line is not UTF-8", "save the file as UTF-8")}
			}
		}
	}
	var out Problems
	for i, line := range s.lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && len(indent) < len(line) {
			out = append(out, s.at(i+1, tab+1, "a tab stands in the indentation", "indent with spaces"))
		}
		if zero := strings.IndexByte(line, 0); zero >= 0 {
			out = append(out, s.at(i+1, zero+1, "a zero byte stands in the text", ""))
		}
	}
	return out
}

// checkTokens refuses the features that are left out, and depth, before the parser descends into it.
func (s *source) checkTokens(tokens token.Tokens) Problems {
	var out Problems
	flow, row, line, documents, keys := 0, 0, 0, 0, 0
	refuse := func(t *token.Token, message, hint string) {
		if len(out) < 20 {
			out = append(out, s.at(t.Position.Line, t.Position.Column, message, hint))
		}
	}
	for _, t := range tokens {
		if t.Position.Line != line {
			line, row = t.Position.Line, 0
		}
		switch t.Type {
		case token.AnchorType:
			refuse(t, "anchors are not allowed", "write the value out where it is used")
		case token.AliasType:
			refuse(t, "aliases are not allowed", `write the value out; text that begins with "*" needs quotes`)
		case token.MergeKeyType:
			refuse(t, "merge keys are not allowed", "write the keys out")
		case token.TagType:
			refuse(t, "tags are not allowed", `text that begins with "!" needs quotes`)
		case token.DirectiveType:
			refuse(t, "directives are not allowed", `text that begins with "%" needs quotes`)
		case token.MappingKeyType:
			refuse(t, `complex keys ("?") are not allowed`, "")
		case token.DocumentHeaderType:
			if documents++; documents > 1 || t.Prev != nil && t.Prev.Type != token.CommentType {
				refuse(t, "a second document begins here, a file holds one", "put it into a file of its own")
			}
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType:
			row++
		case token.MappingValueType:
			keys++
		}
		if keys > MaxKeys {
			refuse(t, fmt.Sprintf("the file has more than %d keys", MaxKeys), "split it")
			return out
		}
		if flow > MaxDepth || row > MaxDepth || t.Position.IndentLevel > 2*MaxDepth {
			refuse(t, fmt.Sprintf("nested deeper than %d levels", MaxDepth), "")
			return out
		}
	}
	return out
}

func (s *source) syntax(err error) Problem {
	var message string
	line, column := 1, 1
	var e yaml.Error
	if errors.As(err, &e) {
		message = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			line, column = t.Position.Line, t.Position.Column
		}
	} else {
		message, _, _ = strings.Cut(err.Error(), "\n")
	}
	hint := ""
	if strings.Contains(message, "could not find end character") || strings.Contains(message, "unexpected") {
		hint = "is a quote or a bracket missing?"
	}
	return s.at(line, column, "not valid YAML: "+message, hint)
}

// reader turns the library's tree into nodes.
type reader struct {
	src      *source
	problems Problems
}

func (r *reader) refuse(t *token.Token, message, hint string) *Node {
	if len(r.problems) < 50 {
		r.problems = append(r.problems, r.src.at(t.Position.Line, t.Position.Column, message, hint))
	}
	return r.make(Null, t, nil)
}

func (r *reader) make(kind Kind, t *token.Token, scalar any) *Node {
	return &Node{Kind: kind, Line: t.Position.Line, Column: r.src.column(t), Scalar: scalar, src: r.src, style: t.Type}
}

// column is where a token begins. The library counts the blanks behind plain text as if they stood before it.
func (s *source) column(t *token.Token) int {
	line, column := t.Position.Line, t.Position.Column
	word, _, _ := strings.Cut(t.Value, " ")
	word, _, _ = strings.Cut(word, "\n")
	if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType || t.Type == token.LiteralType || t.Type == token.FoldedType ||
		word == "" || line < 1 || line > len(s.lines) {
		return column
	}
	text := []rune(s.lines[line-1])
	for c := min(column, len(text)); c >= 1; c-- {
		if strings.HasPrefix(string(text[c-1:]), word) {
			return c
		}
	}
	return column
}

func (r *reader) node(n ast.Node, depth int) *Node {
	t := n.GetToken()
	if depth > MaxDepth {
		return r.refuse(t, fmt.Sprintf("nested deeper than %d levels", MaxDepth), "")
	}
	switch n := n.(type) {
	case *ast.NullNode:
		return r.make(Null, t, nil)
	case *ast.BoolNode:
		return r.make(Bool, t, n.Value)
	case *ast.IntegerNode:
		return r.integer(n, t)
	case *ast.FloatNode:
		if math.IsInf(n.Value, 0) {
			return r.refuse(t, "this number is too large", "")
		}
		return r.make(Number, t, n.Value)
	case *ast.StringNode:
		return r.make(String, t, n.Value)
	case *ast.LiteralNode:
		return r.make(String, t, n.Value.Value)
	case *ast.SequenceNode:
		out := r.make(List, t, nil)
		for _, v := range n.Values {
			out.Items = append(out.Items, r.node(v, depth+1))
		}
		return out
	case *ast.MappingNode:
		return r.mapping(t, n.Values, depth)
	case *ast.MappingValueNode:
		return r.mapping(t, []*ast.MappingValueNode{n}, depth)
	case *ast.InfinityNode, *ast.NanNode:
		return r.refuse(t, "infinity and not-a-number are not allowed", "text such as .inf needs quotes")
	}
	return r.refuse(t, fmt.Sprintf("%s is not allowed here", strings.ToLower(n.Type().String())), "")
}

func (r *reader) integer(n *ast.IntegerNode, t *token.Token) *Node {
	digits := strings.TrimLeft(t.Value, "+-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' || strings.Contains(digits, "_") {
		return r.refuse(t, fmt.Sprintf("%s can be read as different numbers", t.Value), "put quotes around it, or write it in plain decimal")
	}
	switch v := n.Value.(type) {
	case int64:
		return r.make(Integer, t, v)
	case uint64:
		if v <= math.MaxInt64 {
			return r.make(Integer, t, int64(v))
		}
	}
	return r.refuse(t, "this number is too large", "")
}

func (r *reader) mapping(t *token.Token, values []*ast.MappingValueNode, depth int) *Node {
	out := r.make(Map, t, nil)
	if len(values) > 0 && t.Type != token.MappingStartType {
		first := values[0].Key.GetToken()
		out.Line, out.Column = first.Position.Line, r.src.column(first)
	}
	seen := make(map[string]*token.Token, len(values))
	for _, v := range values {
		kt := v.Key.GetToken()
		key, ok := keyText(v.Key)
		if !ok {
			r.refuse(kt, "a key must be plain text", "")
			continue
		}
		if before := seen[key]; before != nil {
			r.refuse(kt, fmt.Sprintf("the key %q stands here twice", key), fmt.Sprintf("it is also in line %d", before.Position.Line))
			continue
		}
		seen[key] = kt
		out.Members = append(out.Members, Member{key, kt.Position.Line, r.src.column(kt), r.node(v.Value, depth+1)})
	}
	return out
}

// keyText is the key as it is written; YAML would read some (on, no, 1.0, null) as other things than text, we never do.
func keyText(k ast.MapKeyNode) (string, bool) {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return k.GetToken().Value, true
	}
	return "", false
}

// Get gives the value of a key; nil if the node is no map or has no such key.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, m := range n.Members {
		if m.Key == key {
			return m.Value
		}
	}
	return nil
}

// Text is the string of a String node, "" for others.
func (n *Node) Text() string {
	if n == nil {
		return ""
	}
	s, _ := n.Scalar.(string)
	return s
}

// JSON gives the value in JSON form: map[string]any, []any, string, int64, float64, bool, nil.
func (n *Node) JSON() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case List:
		out := make([]any, len(n.Items))
		for i, e := range n.Items {
			out[i] = e.JSON()
		}
		return out
	case Map:
		out := make(map[string]any, len(n.Members))
		for _, m := range n.Members {
			out[m.Key] = m.Value.JSON()
		}
		return out
	}
	return n.Scalar
}
