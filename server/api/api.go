// Package api is the HTTP interface: routes of one call each, the OpenAPI 3.1 description made from their types, health and metrics. Errors are
// problem documents (RFC 9457) with the fault inside.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/intake/syslog"
	"github.com/riposte-soar/riposte/server/journal"
)

// Version of the API's description.
const Version = "1.0.0"

// MaxBody is the size in bytes of the largest request body.
const MaxBody = 32 << 20

// Options are what the routes stand on.
type Options struct {
	Engine  *engine.Engine
	Content *engine.Content
	Token   string // that every request but health and metrics must carry: "Authorization: Bearer …"
	Log     *slog.Logger
	Now     func() time.Time
	Ready   func() error // nil when the server can do its work
	// Isolated are the digests of plugins that run in processes of their own.
	Isolated map[string]bool
}

// Server answers requests.
type Server struct {
	o      Options
	app    *fiber.App
	api    huma.API
	ln     net.Listener
	token  [sha256.Size]byte
	syslog syslog.Counters
	served chan struct{}
	ctx    context.Context // ends when the server closes: long polls give up
	cancel context.CancelFunc
}

// New makes the routes. Listen begins to answer.
func New(o Options) *Server {
	s := &Server{o: o, token: sha256.Sum256([]byte(o.Token)), served: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.app = fiber.New(fiber.Config{
		Immutable: true, DisableStartupMessage: true, BodyLimit: MaxBody, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ReadBufferSize: 16 << 10, StreamRequestBody: false, ErrorHandler: s.failed,
	})
	s.app.Server().HeaderReceived = s.sizes
	s.app.Use(s.recovered, s.guard)
	s.health()
	config := huma.DefaultConfig("Riposte", Version)
	config.DocsPath, config.SchemasPath, config.OpenAPIPath = "", "", "/api/v1/openapi"
	config.CreateHooks = nil // no $schema links in answers
	config.Transformers = []huma.Transformer{faults}
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: strict}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Security = []map[string][]string{{"token": {}}}
	s.api = humafiber.New(s.app, config)
	s.alarms()
	s.incidents()
	s.runs()
	s.decisions()
	s.inventory()
	describeProblems(s.api)
	return s
}

// schemaName names a type in the description: those of other packages carry the package's name, so that two may have the same.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[huma.ErrorModel]() {
		return problemName
	}
	name := huma.DefaultSchemaNamer(t, hint)
	if pkg := path.Base(t.PkgPath()); t.Name() != "" && pkg != "api" && pkg != "." {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

// Listen begins to answer on address.
func (s *Server) Listen(address string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.ln = ln
	go func() {
		defer close(s.served)
		if err := s.app.Listener(ln); err != nil && !errors.Is(err, net.ErrClosed) {
			s.o.Log.Error("API stopped", "err", err)
		}
	}()
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Syslog are the counters of the syslog listeners, which the metrics show.
func (s *Server) Syslog() *syslog.Counters { return &s.syslog }

// Close lets open requests end, for a few seconds. Those that have not ended then are cut off, and so are connections over which nothing has come.
func (s *Server) Close() error {
	s.cancel()
	err := s.app.ShutdownWithTimeout(5 * time.Second)
	<-s.served
	if errors.Is(err, context.DeadlineExceeded) {
		s.o.Log.Warn("connections to the API were still open, and are cut off")
		err = nil
	}
	return err
}

// OpenAPI is the description of the API, as YAML.
func (s *Server) OpenAPI() ([]byte, error) { return s.api.OpenAPI().YAML() }

// guard asks for the token, and refuses bodies that would have to be inflated first.
func (s *Server) guard(c *fiber.Ctx) error {
	c.Set("X-Content-Type-Options", "nosniff")
	c.Set("Cache-Control", "no-store")
	if p := plainRequest(c); p != nil {
		return p
	}
	if enc := c.Get(fiber.HeaderContentEncoding); enc != "" && enc != "identity" {
		return problemOf(http.StatusUnsupportedMediaType, abi.Fault{Kind: abi.Invalid, Message: "bodies with Content-Encoding " + enc + " are not taken", Hint: "send the body as it is"})
	}
	switch c.Path() {
	case "/healthz", "/readyz", "/metrics":
		return c.Next()
	}
	if !s.allowed(c.Get(fiber.HeaderAuthorization)) {
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="riposte"`)
		return problem(&abi.Fault{Kind: abi.Unauthorized, Message: "a valid API token is required", Hint: `send "Authorization: Bearer rip_…"; riposte serve keeps it in DATA/token`})
	}
	return c.Next()
}

// allowed says whether an Authorization header has the token.
func (s *Server) allowed(header string) bool {
	given, ok := strings.CutPrefix(header, "Bearer ")
	sum := sha256.Sum256([]byte(given))
	return ok && subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1
}

// Problem is an error answer (RFC 9457), with the fault as further members.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	abi.Fault
}

// Error implements error.
func (p *Problem) Error() string { return p.Fault.Error() }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// statuses maps the kinds of faults to HTTP; this is the only place that does.
func statuses(kind abi.Kind) int {
	switch kind {
	case abi.Invalid:
		return http.StatusUnprocessableEntity
	case abi.Refused:
		return http.StatusForbidden
	case abi.Unauthorized:
		return http.StatusUnauthorized
	case abi.NotFound:
		return http.StatusNotFound
	case abi.Conflict, abi.InDoubt, abi.Diverged:
		return http.StatusConflict
	case abi.TooLarge:
		return http.StatusRequestEntityTooLarge
	case abi.RateLimited, abi.Limit:
		return http.StatusTooManyRequests
	case abi.Unavailable, abi.Cancelled:
		return http.StatusServiceUnavailable
	case abi.Timeout:
		return http.StatusGatewayTimeout
	case abi.Failed, abi.Trap:
		return http.StatusBadGateway
	}
	return http.StatusInternalServerError
}

// problem makes the answer for an error.
func problem(err error) *Problem {
	if errors.Is(err, journal.ErrNotFound) {
		err = abi.NewFault(abi.NotFound, "there is no such thing", "")
	}
	f := abi.AsFault(err)
	return problemOf(statuses(f.Kind), *f)
}

func problemOf(status int, f abi.Fault) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Detail: f.Message, Fault: f}
}

// failed answers requests that no route took.
func (s *Server) failed(c *fiber.Ctx, err error) error {
	var p *Problem
	var fe *fiber.Error
	switch {
	case errors.As(err, &p):
	case errors.As(err, &fe):
		p = problemOf(fe.Code, abi.Fault{Kind: kindOf(fe.Code), Message: fe.Message})
	default:
		p = problem(err)
	}
	if p.Status >= http.StatusInternalServerError {
		s.o.Log.Error("request failed", "method", c.Method(), "path", c.Path(), "err", err)
	}
	c.Status(p.Status)
	if err := c.JSON(p); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, p.ContentType(""))
	return nil
}

func kindOf(status int) abi.Kind {
	switch {
	case status == http.StatusNotFound:
		return abi.NotFound
	case status == http.StatusRequestEntityTooLarge:
		return abi.TooLarge
	case status == http.StatusRequestTimeout:
		return abi.Timeout
	case status < http.StatusInternalServerError:
		return abi.Invalid
	}
	return abi.Internal
}

// body is an answer with a JSON document.
type body[T any] struct{ Body T }

func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, problem(err)
	}
	return &body[T]{v}, nil
}

// route registers one operation.
func route[I, O any](s *Server, method, path, id, summary, tag string, handler func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, huma.Operation{OperationID: id, Method: method, Path: "/api/v1" + path, Summary: summary, Tags: []string{tag},
		MaxBodyBytes: MaxBody, Errors: []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusUnprocessableEntity}}, handler)
}
