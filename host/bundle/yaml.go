package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// ManifestFromYAML reads plugin.yaml, checks it as ParseManifest does, and gives the manifest as JSON with the keys in the author's order.
// Errors name file:line:column. Anchors, aliases, merge keys, tags, several documents and keys that are no plain words are refused: a
// manifest says what a plugin may do, and must read the same to everybody.
func ManifestFromYAML(text []byte, file string) ([]byte, error) {
	if len(text) > MaxManifest {
		return nil, invalid(file, "the manifest is larger than 256 KiB", "")
	}
	c := &converter{file: file, places: map[string]*token.Position{}, report: &problems{}}
	tokens := lexer.Tokenize(string(text))
	c.checkTokens(tokens)
	if err := c.report.err(); err != nil {
		return nil, err
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, syntaxFault(file, err)
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, invalid(file, fmt.Sprintf("found %d documents, expected one", len(tree.Docs)), "")
	}
	c.value(tree.Docs[0].Body, "$", 0)
	if err := c.report.err(); err != nil {
		return nil, err
	}
	if _, _, err := parseManifest(c.out.Bytes()); err != nil {
		return nil, c.place(err)
	}
	return c.out.Bytes(), nil
}

func syntaxFault(file string, err error) error {
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &located) && located.GetToken() != nil {
		return invalid(placeOf(file, located.GetToken().Position), located.GetMessage(), "")
	}
	return invalid(file, err.Error(), "")
}

func placeOf(file string, p *token.Position) string {
	return file + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// maxDepth bounds the nesting of a manifest.
const maxDepth = 64

// converter writes the JSON of a YAML tree and remembers where each path stood.
type converter struct {
	file   string
	out    bytes.Buffer
	places map[string]*token.Position
	report *problems
}

// place puts file, line and column before the JSON paths of faults. A path that is not in the file (a missing key) is looked up by its parents.
func (c *converter) place(err error) error {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	report := &problems{}
	for _, err := range list {
		f := *abi.AsFault(err)
		for path := f.Where; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
			if p, ok := c.places[path]; ok {
				f.Message, f.Where = f.Where+": "+f.Message, placeOf(c.file, p)
				break
			}
		}
		report.list = append(report.list, &f)
	}
	return report.err()
}

// checkTokens refuses, before the parser sees them, what makes a document read differently from how it looks, and depth.
func (c *converter) checkTokens(tokens token.Tokens) {
	depth, entries, line := 0, 0, 0
	for _, t := range tokens {
		place := placeOf(c.file, t.Position)
		if t.Position.Line != line {
			entries, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			c.report.add(place, "anchors, aliases and merge keys are not supported", "write the value out where it is used, or quote it")
		case token.TagType:
			c.report.add(place, "tags are not supported", "quote the value if it shall be a string")
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			entries++
		}
		if max(depth, entries) > maxDepth {
			c.report.add(place, "nested too deeply", "")
			return
		}
	}
}

func (c *converter) refuse(n ast.Node, message, hint string) {
	c.report.add(placeOf(c.file, n.GetToken().Position), message, hint)
}

func (c *converter) value(n ast.Node, path string, depth int) {
	if depth > maxDepth {
		c.refuse(n, "nested too deeply", "")
		return
	}
	c.places[path] = n.GetToken().Position
	switch n := n.(type) {
	case *ast.MappingNode:
		c.mapping(n.Values, path, depth)
	case *ast.MappingValueNode:
		c.mapping([]*ast.MappingValueNode{n}, path, depth)
	case *ast.SequenceNode:
		c.out.WriteByte('[')
		for i, element := range n.Values {
			if i > 0 {
				c.out.WriteByte(',')
			}
			c.value(element, path+"["+strconv.Itoa(i)+"]", depth+1)
		}
		c.out.WriteByte(']')
	case *ast.StringNode:
		c.scalar(n, n.Value)
	case *ast.LiteralNode:
		c.scalar(n, n.Value.Value)
	case *ast.IntegerNode:
		c.scalar(n, n.Value)
	case *ast.FloatNode:
		c.scalar(n, n.Value)
	case *ast.BoolNode:
		c.scalar(n, n.Value)
	case *ast.NullNode:
		c.refuse(n, "the value is missing", "give one, or remove the key")
	default:
		c.refuse(n, "unexpected "+n.Type().String(), "")
	}
}

func (c *converter) scalar(n ast.Node, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		c.refuse(n, err.Error(), "")
		return
	}
	c.out.Write(raw)
}

func (c *converter) mapping(values []*ast.MappingValueNode, path string, depth int) {
	if len(values) > 0 {
		c.places[path] = values[0].Key.GetToken().Position
	}
	c.out.WriteByte('{')
	for i, entry := range values {
		key, ok := entry.Key.(*ast.StringNode)
		if !ok {
			c.refuse(entry.Key, "a key must be a word", "quote the key")
			continue
		}
		if i > 0 {
			c.out.WriteByte(',')
		}
		inner := path + "." + key.Value
		if _, twice := c.places[inner]; twice {
			c.refuse(key, "the key "+strconv.Quote(key.Value)+" occurs twice", "")
		}
		c.scalar(key, key.Value)
		c.out.WriteByte(':')
		c.value(entry.Value, inner, depth+1)
	}
	c.out.WriteByte('}')
}
