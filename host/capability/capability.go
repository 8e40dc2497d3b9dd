// Package capability decides what a plugin may do: the right that remains when what its manifest asks meets what the operator granted and
// what the site permits. It does no I/O; the one dispatcher of host calls (package hostcall) asks it before anything happens.
//
// A right never grows: every pattern that was asked and every pattern that was granted must match, denials win, and an attribute that is
// not known, or does not belong to the kind, is an error and not ignored.
package capability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Grant is what the operator gave in the connector's file: for the id of each requirement how it is narrowed. An empty Narrowing grants the
// requirement as it was asked; an id that is missing is not granted.
type Grant map[string]Narrowing

// Narrowing limits one requirement further. Empty attributes limit nothing.
type Narrowing struct {
	URL       string   `json:"url,omitempty"`       // http: a second pattern that must match as well
	Methods   []string `json:"methods,omitempty"`   // http: these of the methods asked
	Hosts     []string `json:"hosts,omitempty"`     // http, tcp: host patterns, one of which must match
	Redirects *int     `json:"redirects,omitempty"` // http: at most so many redirects

	Names []string `json:"names,omitempty"` // dns: name patterns, one of which must match
	Types []string `json:"types,omitempty"` // dns: these record types

	Addresses  []string `json:"addresses,omitempty"`  // tcp: "host:port" patterns, one of which must match
	Statements []string `json:"statements,omitempty"` // sql: names of the statements that may be used
	Recipients []string `json:"recipients,omitempty"` // mail: patterns of recipients, one of which must match

	MaxRows  int   `json:"max_rows,omitempty"`  // sql
	MaxBytes int64 `json:"max_bytes,omitempty"` // http and tcp: of one answer; kv: of all values

	// Deny takes away: host patterns (http, tcp), names (dns), statements (sql), recipients (mail). It wins over everything.
	Deny []string `json:"deny,omitempty"`
	// TLS says how the other side proves who it is (http, tcp, sql, mail).
	TLS *TLS `json:"tls,omitempty"`
}

// TLS holds the terms of encrypted connections. There is no way to skip the check of a certificate: name its authority or its pin.
type TLS struct {
	CA         string   `json:"ca,omitempty"`          // file of PEM certificates that are trusted instead of the system's
	ServerName string   `json:"server_name,omitempty"` // name that the certificate must carry, if not that of the address
	Min        string   `json:"min,omitempty"`         // "1.2" (default) or "1.3"
	Pins       []string `json:"pins,omitempty"`        // base64 SHA-256 of the public key (RFC 7469); one in the chain must match
}

// Equal says whether both grant the same in the same words.
func (g Grant) Equal(o Grant) bool { return maps.EqualFunc(g, o, Narrowing.equal) }

func (n Narrowing) equal(o Narrowing) bool {
	return n.URL == o.URL && slices.Equal(n.Methods, o.Methods) && slices.Equal(n.Hosts, o.Hosts) && equalPointers(n.Redirects, o.Redirects, func(a, b int) bool { return a == b }) &&
		slices.Equal(n.Names, o.Names) && slices.Equal(n.Types, o.Types) && slices.Equal(n.Addresses, o.Addresses) && slices.Equal(n.Statements, o.Statements) &&
		slices.Equal(n.Recipients, o.Recipients) && n.MaxRows == o.MaxRows && n.MaxBytes == o.MaxBytes && slices.Equal(n.Deny, o.Deny) && equalPointers(n.TLS, o.TLS, TLS.equal)
}

func (t TLS) equal(o TLS) bool {
	return t.CA == o.CA && t.ServerName == o.ServerName && t.Min == o.Min && slices.Equal(t.Pins, o.Pins)
}

func equalPointers[T any](a, b *T, equal func(a, b T) bool) bool {
	return (a == nil) == (b == nil) && (a == nil || equal(*a, *b))
}

// Clone gives a grant that has nothing in common with g but what it says.
func (g Grant) Clone() Grant {
	out := maps.Clone(g)
	for id, n := range out {
		for _, list := range []*[]string{&n.Methods, &n.Hosts, &n.Names, &n.Types, &n.Addresses, &n.Statements, &n.Recipients, &n.Deny} {
			*list = slices.Clone(*list)
		}
		if n.Redirects != nil {
			redirects := *n.Redirects
			n.Redirects = &redirects
		}
		if n.TLS != nil {
			terms := *n.TLS
			terms.Pins = slices.Clone(terms.Pins)
			n.TLS = &terms
		}
		out[id] = n
	}
	return out
}

// UnmarshalJSON refuses attributes that it does not know.
func (n *Narrowing) UnmarshalJSON(data []byte) error {
	type plain Narrowing
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var p plain
	if err := d.Decode(&p); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	*n = Narrowing(p)
	return nil
}

// Right is what remains: exactly one of the kinds is set.
type Right struct {
	ID, Kind string
	Auth     *abi.Auth
	TLS      TLS

	HTTP *HTTP
	DNS  *DNS
	TCP  *TCP
	SQL  *SQL
	Mail *Mail
	KV   *KV
}

// Refusal says why something is not allowed, in a word for programs and in a sentence for people.
type Refusal struct {
	Reason  Reason
	Message string
	Hint    string
}

// Reason is the part of a right that refused.
type Reason string

// The reasons of refusals.
const (
	NotAsked   Reason = "not_asked"   // the manifest does not ask for it
	NotGranted Reason = "not_granted" // the operator did not grant it
	Denied     Reason = "denied"      // a denial of the operator or of the site names it
	Malformed  Reason = "malformed"   // it is no URL, host, name or address that may be used
	Scheme     Reason = "scheme"
	HostName   Reason = "host"
	Port       Reason = "port"
	Path       Reason = "path"
	Method     Reason = "method"
	IPAddress  Reason = "address" // the IP address is one that plugins may not reach
	RecordType Reason = "type"
	Statement  Reason = "statement"
	Parameter  Reason = "parameter"
	Recipient  Reason = "recipient"
)

// Error gives the sentence.
func (r *Refusal) Error() string { return r.Message }

// Fault is the refusal as the guest receives it.
func (r *Refusal) Fault() *abi.Fault {
	return &abi.Fault{Kind: abi.Refused, Message: r.Message, Hint: r.Hint, Where: string(r.Reason)}
}

func refuse(reason Reason, hint, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Effective computes the right that remains of a requirement (whose references were resolved by Resolve) under a grant and a site's policy.
// A *Refusal with the reason NotGranted or Denied says that there is none; any other error is a mistake in manifest, settings or grant.
func Effective(asked abi.Requirement, grant Grant, site Network) (*Right, error) {
	narrow, granted := grant[asked.ID]
	if !granted {
		return nil, refuse(NotGranted, "grant it in the connector, if you want the plugin to do this: "+asked.Reason,
			"capability %q is not granted", asked.ID)
	}
	if err := checkAttributes(asked, narrow); err != nil {
		return nil, fmt.Errorf("capability %q: %w", asked.ID, err)
	}
	r := &Right{ID: asked.ID, Kind: asked.Kind, Auth: asked.Auth}
	if narrow.TLS != nil {
		r.TLS = *narrow.TLS
	}
	if r.TLS.Min != "" && r.TLS.Min != "1.2" && r.TLS.Min != "1.3" {
		return nil, fmt.Errorf("capability %q: tls.min %q: expected 1.2 or 1.3", asked.ID, r.TLS.Min)
	}
	var err error
	switch asked.Kind {
	case "http":
		r.HTTP, err = newHTTP(asked, narrow, site)
	case "dns":
		r.DNS, err = newDNS(asked, narrow, site)
	case "tcp":
		r.TCP, err = newTCP(asked, narrow, site)
	case "sql":
		r.SQL, err = newSQL(asked, narrow)
	case "mail":
		r.Mail, err = newMail(asked, narrow)
	case "kv":
		r.KV = &KV{MaxBytes: least(asked.MaxBytes, narrow.MaxBytes)}
	}
	if err == nil {
		err = site.denyServer(r)
	}
	if err != nil {
		return nil, fmt.Errorf("capability %q: %w", asked.ID, err)
	}
	return r, nil
}

// denyServer applies the site's denials to the one server that a right of some kinds has.
func (n Network) denyServer(r *Right) error {
	var server Address
	switch {
	case r.DNS != nil:
		server = r.DNS.Server
	case r.SQL != nil:
		server = r.SQL.Server
	case r.Mail != nil:
		server = r.Mail.Server
	}
	denied, err := parseHostPatterns(n.DenyHosts)
	if err != nil {
		return err
	}
	if hit, _ := matchAny(denied, server.Host); hit && server.Port != 0 {
		return refuse(Denied, "", "host %s is denied", quote(server.Host.String()))
	}
	return nil
}

// attributes of requirement and grant that mean something, by kind.
func attributes(kind string) (asked, granted []string) {
	switch kind {
	case "http":
		return []string{"url", "methods", "redirects", "auth", "max_bytes"},
			[]string{"url", "methods", "hosts", "redirects", "deny", "tls", "max_bytes"}
	case "dns":
		return []string{"names", "types", "server"}, []string{"names", "types", "deny"}
	case "tcp":
		return []string{"addresses", "tls", "max_bytes"}, []string{"addresses", "hosts", "deny", "tls", "max_bytes"}
	case "sql":
		return []string{"server", "tls", "driver", "database", "statements", "max_rows", "auth"},
			[]string{"statements", "max_rows", "deny", "tls"}
	case "mail":
		return []string{"server", "tls", "from", "recipients", "auth"}, []string{"recipients", "deny", "tls"}
	case "kv":
		return []string{"max_bytes"}, []string{"max_bytes"}
	}
	return nil, nil
}

func checkAttributes(asked abi.Requirement, narrow Narrowing) error {
	may, mayNarrow := attributes(asked.Kind)
	if may == nil {
		return fmt.Errorf("kind %q is not known: expected http, dns, tcp, sql, mail or kv", asked.Kind)
	}
	set, err := setAttributes(asked)
	if err != nil {
		return err
	}
	for _, name := range set {
		if !slices.Contains(may, name) && name != "id" && name != "kind" && name != "reason" {
			return fmt.Errorf("attribute %q does not belong to kind %s: expected %s", name, asked.Kind, strings.Join(may, ", "))
		}
	}
	if set, err = setAttributes(narrow); err != nil {
		return err
	}
	for _, name := range set {
		if !slices.Contains(mayNarrow, name) {
			return fmt.Errorf("the grant's attribute %q does not belong to kind %s: expected %s", name, asked.Kind, strings.Join(mayNarrow, ", "))
		}
	}
	return nil
}

// setAttributes lists the attributes of v that are not empty, by their names in JSON.
func setAttributes(v any) ([]string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// least of two limits, where zero means none.
func least[T int | int64](a, b T) T {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

// Rank orders effects from harmless to dangerous; an unknown one ranks -1.
func Rank(e abi.Effect) int {
	return slices.Index([]abi.Effect{abi.Pure, abi.Read, abi.Idempotent, abi.Keyed, abi.Unsafe}, e)
}
