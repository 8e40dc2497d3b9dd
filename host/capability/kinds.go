package capability

import (
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Address is a destination "host:port" of a connection.
type Address struct {
	Host Host
	Port uint16
}

// String is "host:port", with brackets where IPv6 needs them.
func (a Address) String() string { return net.JoinHostPort(a.Host.String(), strconv.Itoa(int(a.Port))) }

// ParseAddress reads "host:port"; where the port is missing, standard is taken, and 0 refuses that.
func ParseAddress(s string, standard uint16) (Address, *Refusal) {
	host, port, err := splitPort(s)
	if err != nil {
		return Address{}, refuse(Malformed, "", "address %s", err.Error())
	}
	a := Address{Port: standard}
	var r *Refusal
	if a.Host, r = ParseHost(host); r != nil {
		return Address{}, r
	}
	if port != "" || standard == 0 {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Address{}, refuse(Port, "", "address %s: expected a port from 1 to 65535", quote(s))
		}
		a.Port = uint16(n)
	}
	return a, nil
}

// DNS is the right to resolve names.
type DNS struct {
	Server Address // zero for the system's resolvers
	names  [][]hostPattern
	deny   []hostPattern
	types  []string
}

func newDNS(asked abi.Requirement, narrow Narrowing, site Network) (*DNS, error) {
	d := &DNS{}
	for _, list := range [][]string{asked.Names, narrow.Names} {
		patterns, err := parseHostPatterns(list)
		if err != nil {
			return nil, err
		}
		if len(patterns) > 0 {
			d.names = append(d.names, patterns)
		}
	}
	if len(asked.Names) == 0 {
		return nil, fmt.Errorf("names: expected at least one pattern, \"*\" for any name")
	}
	for _, t := range slices.Concat(asked.Types, narrow.Types) {
		if !slices.Contains(recordTypes(), t) {
			return nil, fmt.Errorf("record type %s: expected one of %s", quote(t), strings.Join(recordTypes(), ", "))
		}
	}
	for _, t := range asked.Types {
		if len(narrow.Types) == 0 || slices.Contains(narrow.Types, t) {
			d.types = append(d.types, t)
		}
	}
	if len(asked.Types) == 0 {
		return nil, fmt.Errorf("types: expected at least one of %s", strings.Join(recordTypes(), ", "))
	}
	var err error
	if d.deny, err = parseHostPatterns(slices.Concat(narrow.Deny, site.DenyHosts)); err != nil {
		return nil, err
	}
	if asked.Server != "" {
		var r *Refusal
		if d.Server, r = ParseAddress(asked.Server, 53); r != nil {
			return nil, fmt.Errorf("server: %w", r)
		}
	}
	return d, nil
}

func recordTypes() []string {
	return []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"}
}

// Allow decides one question. An address (for PTR) matches patterns of addresses and prefixes.
func (d *DNS) Allow(name Host, recordType string) *Refusal {
	if !slices.Contains(d.types, recordType) {
		return refuse(RecordType, "", "record type %s is not granted: the right is for %s", quote(recordType), strings.Join(d.types, ", "))
	}
	for _, patterns := range d.names {
		if ok, _ := matchAny(patterns, name); !ok {
			return refuse(HostName, "", "name %s is not granted", quote(name.String()))
		}
	}
	if denied, _ := matchAny(d.deny, name); denied {
		return refuse(Denied, "", "name %s is denied", quote(name.String()))
	}
	return nil
}

// TCP is the right to exchange bytes over a TCP connection.
type TCP struct {
	Encrypted bool
	MaxBytes  int64 // of one answer; 0 for the host's default
	addresses [][]addressPattern
	hosts     []hostPattern
	deny      []hostPattern
}

type addressPattern struct {
	host hostPattern
	port uint16
}

func newTCP(asked abi.Requirement, narrow Narrowing, site Network) (*TCP, error) {
	t := &TCP{MaxBytes: least(asked.MaxBytes, narrow.MaxBytes)}
	switch asked.TLS {
	case "", "off":
	case "on":
		t.Encrypted = true
	default:
		return nil, fmt.Errorf("tls %s: expected on or off", quote(asked.TLS))
	}
	if len(asked.Addresses) == 0 {
		return nil, fmt.Errorf("addresses: expected at least one \"host:port\"")
	}
	for _, list := range [][]string{asked.Addresses, narrow.Addresses} {
		var patterns []addressPattern
		for _, s := range list {
			p, err := parseAddressPattern(s)
			if err != nil {
				return nil, err
			}
			patterns = append(patterns, p)
		}
		if len(patterns) > 0 {
			t.addresses = append(t.addresses, patterns)
		}
	}
	var err error
	if t.hosts, err = parseHostPatterns(narrow.Hosts); err != nil {
		return nil, err
	}
	t.deny, err = parseHostPatterns(slices.Concat(narrow.Deny, site.DenyHosts))
	return t, err
}

func parseAddressPattern(s string) (addressPattern, error) {
	host, port, err := splitPort(s)
	if err != nil {
		return addressPattern{}, fmt.Errorf("address %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return addressPattern{}, fmt.Errorf("address %s: expected a port from 1 to 65535", quote(s))
	}
	p, err := parseHostPattern(host)
	return addressPattern{host: p, port: uint16(n)}, err
}

// Allow decides one connection; named says that the right names the host or its network (see Network).
func (t *TCP) Allow(a Address) (named bool, r *Refusal) {
	for _, patterns := range t.addresses {
		ok := false
		for _, p := range patterns {
			if p.port == a.Port && p.host.match(a.Host) {
				ok, named = true, named || p.host.named()
			}
		}
		if !ok {
			return false, refuse(HostName, "", "address %s is not granted", quote(a.String()))
		}
	}
	if len(t.hosts) > 0 {
		ok, byHost := matchAny(t.hosts, a.Host)
		if !ok {
			return false, refuse(HostName, "", "host %s is not among the hosts that were granted", quote(a.Host.String()))
		}
		named = named || byHost
	}
	if denied, _ := matchAny(t.deny, a.Host); denied {
		return false, refuse(Denied, "", "host %s is denied", quote(a.Host.String()))
	}
	return named, nil
}

// SQL is the right to run named statements.
type SQL struct {
	Driver, Database string
	Server           Address
	TLS              string // off, on, or opportunistic
	MaxRows          int    // 0 for the host's default
	statements       map[string]abi.Statement
	deny             []string
}

func newSQL(asked abi.Requirement, narrow Narrowing) (*SQL, error) {
	q := &SQL{Driver: asked.Driver, Database: asked.Database, TLS: asked.TLS, MaxRows: least(asked.MaxRows, narrow.MaxRows), deny: narrow.Deny}
	if q.Driver != "sqlserver" {
		return nil, fmt.Errorf("driver %s: expected sqlserver", quote(q.Driver))
	}
	if q.TLS == "" {
		q.TLS = "on"
	}
	if !slices.Contains([]string{"off", "on", "opportunistic"}, q.TLS) {
		return nil, fmt.Errorf("tls %s: expected on, off or opportunistic", quote(q.TLS))
	}
	var r *Refusal
	if q.Server, r = ParseAddress(asked.Server, 1433); r != nil {
		return nil, fmt.Errorf("server: %w", r)
	}
	if err := json.Unmarshal(asked.Statements, &q.statements); err != nil || len(q.statements) == 0 {
		return nil, fmt.Errorf("statements: expected an object of name to {sql, params, effect}")
	}
	for name, s := range q.statements {
		if s.Effect == "" {
			s.Effect = abi.Read
			q.statements[name] = s
		}
		if s.SQL == "" || Rank(s.Effect) < Rank(abi.Read) {
			return nil, fmt.Errorf("statement %s: expected sql, and an effect of read, write.idempotent, write.keyed or write.unsafe", quote(name))
		}
	}
	for _, name := range narrow.Statements {
		if _, ok := q.statements[name]; !ok {
			return nil, fmt.Errorf("the grant names statement %s, which is not defined", quote(name))
		}
	}
	if len(narrow.Statements) > 0 {
		for name := range q.statements {
			if !slices.Contains(narrow.Statements, name) {
				delete(q.statements, name)
			}
		}
	}
	return q, nil
}

// Allow decides one use of a statement: its name must be granted, and exactly its parameters be given.
func (q *SQL) Allow(name string, params map[string]any) (abi.Statement, *Refusal) {
	s, ok := q.statements[name]
	if !ok {
		return s, refuse(Statement, "", "statement %s is not granted", quote(name))
	}
	if slices.Contains(q.deny, name) {
		return s, refuse(Denied, "", "statement %s is denied", quote(name))
	}
	for p := range params {
		if !slices.Contains(s.Params, p) {
			return s, refuse(Parameter, "", "statement %s has no parameter %s", quote(name), quote(p))
		}
	}
	for _, p := range s.Params {
		if _, ok := params[p]; !ok {
			return s, refuse(Parameter, "", "statement %s needs the parameter %s", quote(name), quote(p))
		}
	}
	return s, nil
}

// Mail is the right to send mail.
type Mail struct {
	Server     Address
	TLS        string // off, starttls, on, or opportunistic
	From       string
	recipients [][]string
	deny       []string
}

func newMail(asked abi.Requirement, narrow Narrowing) (*Mail, error) {
	m := &Mail{TLS: asked.TLS}
	if m.TLS == "" {
		m.TLS = "starttls"
	}
	standard, ok := map[string]uint16{"off": 25, "starttls": 587, "on": 465, "opportunistic": 25}[m.TLS]
	if !ok {
		return nil, fmt.Errorf("tls %s: expected starttls, on, opportunistic or off", quote(m.TLS))
	}
	var r *Refusal
	if m.Server, r = ParseAddress(asked.Server, standard); r != nil {
		return nil, fmt.Errorf("server: %w", r)
	}
	if m.From, r = ParseRecipient(asked.From); r != nil {
		return nil, fmt.Errorf("from: %w", r)
	}
	var err error
	var list []string
	if err := json.Unmarshal(asked.Recipients, &list); err != nil || len(list) == 0 {
		return nil, fmt.Errorf("recipients: expected a list of addresses and patterns such as \"*@corp.test\"")
	}
	for _, patterns := range [][]string{list, narrow.Recipients} {
		if patterns, err = recipientPatterns(patterns); err != nil {
			return nil, err
		}
		if len(patterns) > 0 {
			m.recipients = append(m.recipients, patterns)
		}
	}
	m.deny, err = recipientPatterns(narrow.Deny)
	return m, err
}

// recipientPatterns checks and lowers "person@domain", "*@domain" and "*@*.domain"; "*" is anybody.
func recipientPatterns(list []string) ([]string, error) {
	out := make([]string, 0, len(list))
	for _, s := range list {
		if s != "*" {
			probe := strings.Replace(strings.Replace(s, "*@", "any@", 1), "@*.", "@any.", 1)
			canonical, r := ParseRecipient(probe)
			if r != nil || strings.Contains(canonical, "*") {
				return nil, fmt.Errorf("recipient %s: expected an address, \"*@domain\" or \"*@*.domain\"", quote(s))
			}
		}
		out = append(out, strings.ToLower(s))
	}
	return out, nil
}

// mailbox is the part before the "@" that is taken: the dot-atom of RFC 5322, section 3.2.3, which needs no quoting anywhere.
var mailbox = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$")

// ParseRecipient reads a bare address "person@domain", without a display name, and gives it with its domain in canonical spelling.
func ParseRecipient(s string) (string, *Refusal) {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > 254 || !mailbox.MatchString(local) {
		return "", refuse(Malformed, "give a bare address such as someone@corp.test", "mail address %s cannot be read", quote(s))
	}
	host, r := ParseHost(domain)
	if r != nil || host.Name == "" {
		return "", refuse(Malformed, "give a bare address such as someone@corp.test", "mail address %s has no domain name", quote(s))
	}
	return local + "@" + host.Name, nil
}

// Allow decides one recipient and gives the canonical address. Case does not count, in either part.
func (m *Mail) Allow(recipient string) (string, *Refusal) {
	address, r := ParseRecipient(recipient)
	if r != nil {
		return "", r
	}
	covers := func(pattern string) bool { return matchRecipient(pattern, strings.ToLower(address)) }
	for _, patterns := range m.recipients {
		if !slices.ContainsFunc(patterns, covers) {
			return "", refuse(Recipient, "", "recipient %s is not granted", quote(address))
		}
	}
	if slices.ContainsFunc(m.deny, covers) {
		return "", refuse(Denied, "", "recipient %s is denied", quote(address))
	}
	return address, nil
}

func matchRecipient(pattern, address string) bool {
	if pattern == "*" || pattern == address {
		return true
	}
	wanted, ok := strings.CutPrefix(pattern, "*@")
	_, domain, _ := strings.Cut(address, "@")
	if suffix, below := strings.CutPrefix(wanted, "*."); ok && below {
		return len(domain) > len(suffix)+1 && strings.HasSuffix(domain, "."+suffix)
	}
	return ok && domain == wanted
}

// KV is the right to keep values between invocations.
type KV struct {
	MaxBytes int64 // of all keys and values; 0 for the host's default
}
