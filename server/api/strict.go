package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// maxDepth is how deep JSON in a request may be nested.
const maxDepth = 64

// strict reads JSON of requests: no member twice, not too deep. Members that are not known are refused by the schemas of the routes.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := unique(d, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return json.Unmarshal(data, into)
}

// unique walks over one value.
func unique(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("JSON nested deeper than %d", maxDepth)
	}
	seen := map[string]bool{}
	for t == json.Delim('{') || t == json.Delim('[') {
		if !d.More() {
			_, err := d.Token()
			return err
		}
		if t == json.Delim('{') {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			if seen[name] {
				return fmt.Errorf("the member %q occurs twice", name)
			}
			seen[name] = true
		}
		if err := unique(d, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// faults turns the errors of the router into Problems, like all others.
func faults(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := problemOf(m.Status, abi.Fault{Kind: kindOf(m.Status), Message: m.Detail})
	for i, e := range m.Errors {
		if i == 0 {
			p.Where = e.Location
			p.Message += ": " + e.Message
			continue
		}
		p.Hint += strings.TrimSpace(" also: " + e.Location + " " + e.Message)
		if i < len(m.Errors)-1 {
			p.Hint += ";"
		}
	}
	p.Detail = p.Message
	return p, nil
}

// describeProblems puts the Problem in the place of the router's own error in the description.
func describeProblems(api huma.API) {
	registry := api.OpenAPI().Components.Schemas
	if s := registry.Map()[problemName]; s != nil {
		*s = *huma.SchemaFromType(registry, reflect.TypeFor[Problem]())
	}
}

const problemName = "Problem"

// plainRequest refuses what two parsers of HTTP may read in two ways: lengths that are given twice or in two manners, several hosts, and targets
// that are no URL. The library beneath takes them.
func plainRequest(c *fiber.Ctx) *Problem {
	lengths, hosts, encodings, odd := 0, 0, 0, ""
	for line := range bytes.SplitSeq(c.Request().Header.RawHeaders(), []byte("\n")) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		switch trimmed := bytes.TrimSpace(name); {
		case len(trimmed) > 0 && len(trimmed) < len(name):
			odd = "there are blanks before or after the name of a header"
		case bytes.EqualFold(name, []byte("Content-Length")):
			lengths++
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			encodings++
		case bytes.EqualFold(name, []byte("Host")):
			hosts++
		}
	}
	if lengths+encodings > 1 {
		odd = "the length of the body is given more than once"
	} else if hosts > 1 {
		odd = "there is more than one Host"
	} else if u, err := url.ParseRequestURI(string(c.Request().Header.RequestURI())); err != nil || strings.ContainsRune(u.Path, 0) {
		odd = "the target of the request is no URL"
	}
	if odd == "" {
		return nil
	}
	c.Context().SetConnectionClose()
	return problemOf(http.StatusBadRequest, abi.Fault{Kind: abi.Invalid, Message: odd})
}

// recovered turns a defect of ours into an answer.
func (s *Server) recovered(c *fiber.Ctx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.o.Log.Error("defect", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = &abi.Fault{Kind: abi.Internal, Message: "a defect of Riposte; its log has the details"}
		}
	}()
	return c.Next()
}

// sizes keeps bodies from those who have no token small: the library reads a body before it calls us.
func (s *Server) sizes(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if s.allowed(string(h.Peek(fiber.HeaderAuthorization))) {
		return fasthttp.RequestConfig{}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: 4 << 10}
}
