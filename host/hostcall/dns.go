package hostcall

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Limits of dns.resolve.
const (
	dnsTry     = 3 * time.Second // for one question to one server
	maxRecords = 512
)

// resolve is dns.resolve.
type resolve struct {
	abi.DNSRequest
	name string // as it is asked
}

func (d *resolve) capability() (kind, id string) { return "dns", d.Capability }

func (d *resolve) summary() string { return d.Type + " " + d.Name }

func (d *resolve) authorise(r *capability.Right) (abi.Effect, *abi.Fault) {
	host, refusal := capability.ParseHost(d.Name)
	if refusal != nil {
		return "", refusal.Fault()
	}
	d.name = host.Name
	if d.Type == "PTR" {
		if addr, ok := fromReverse(host.Name); ok {
			host = capability.Host{Addr: addr}
		}
	}
	if host.Addr.IsValid() {
		if d.Type != "PTR" {
			return "", abi.NewFault(abi.Invalid, "an address has only PTR records", "give a domain name")
		}
		reverse, err := dns.ReverseAddr(host.Addr.String())
		if err != nil {
			return "", abi.NewFault(abi.Invalid, "the address cannot be turned into a name", "")
		}
		d.name = strings.TrimSuffix(reverse, ".")
	}
	if refusal := r.DNS.Allow(host, d.Type); refusal != nil {
		return "", refusal.Fault()
	}
	return abi.Read, nil
}

// fromReverse gives the address that a name below in-addr.arpa or ip6.arpa stands for, so that a right cannot be passed by in that spelling.
func fromReverse(name string) (netip.Addr, bool) {
	if labels, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(labels, ".")
		slices.Reverse(parts)
		addr, err := netip.ParseAddr(strings.Join(parts, "."))
		return addr, err == nil && addr.Is4()
	}
	labels, ok := strings.CutSuffix(name, ".ip6.arpa")
	nibbles := strings.Split(labels, ".")
	if !ok || len(nibbles) != 32 {
		return netip.Addr{}, false
	}
	slices.Reverse(nibbles)
	data, err := hex.DecodeString(strings.Join(nibbles, ""))
	if err != nil || len(data) != 16 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(data)).Unmap(), true
}

func (d *resolve) perform(ctx context.Context, s *Session, g granted, _ string) (any, *abi.Fault) {
	dialer, servers, fault := s.o.Services.nameServers(g.right.DNS)
	if fault != nil {
		return nil, fault
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(d.name), dns.StringToType[d.Type])
	question.SetEdns0(1232, false)
	var answer *dns.Msg
	for i, server := range servers {
		var err error
		answer, err = ask(ctx, dialer, question, server)
		last := i == len(servers)-1 || ctx.Err() != nil
		switch {
		case err != nil && last:
			return nil, netFault(ctx, err, server)
		case err == nil && (last || answer.Rcode != dns.RcodeServerFailure):
			return d.value(answer), nil
		}
	}
	return nil, abi.NewFault(abi.Unavailable, "there is no name server", "")
}

// nameServers gives whom to ask: the capability's server under the site's policy, or those of the system.
func (s *Services) nameServers(right *capability.DNS) (*net.Dialer, []string, *abi.Fault) {
	if right.Server.Port != 0 {
		return s.dialer(true), []string{right.Server.String()}, nil
	}
	system, err := dns.ClientConfigFromFile(s.o.ResolvConf)
	if err != nil || len(system.Servers) == 0 {
		return nil, nil, &abi.Fault{Kind: abi.Unavailable, Message: "the system names no name server", Hint: "set the capability's server"}
	}
	servers := make([]string, 0, len(system.Servers))
	for _, server := range system.Servers {
		servers = append(servers, net.JoinHostPort(server, system.Port))
	}
	return &net.Dialer{}, servers, nil
}

// errMismatch says that an answer belongs to another question.
var errMismatch = errors.New("the answer belongs to another question")

// ask sends the question over UDP, and over TCP if the answer did not fit.
func ask(ctx context.Context, dialer *net.Dialer, question *dns.Msg, server string) (*dns.Msg, error) {
	for _, network := range []string{"udp", "tcp"} {
		answer, err := askOver(ctx, dialer, network, question, server)
		if err != nil || !answer.Truncated || network == "tcp" {
			return answer, err
		}
	}
	return nil, errMismatch
}

func askOver(ctx context.Context, dialer *net.Dialer, network string, question *dns.Msg, server string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTry)
	defer cancel()
	conn, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	client := &dns.Client{Net: network, Timeout: dnsTry, UDPSize: 4096}
	answer, _, err := client.ExchangeWithConnContext(ctx, question, &dns.Conn{Conn: conn})
	if err != nil {
		return nil, err
	}
	if len(answer.Question) != 1 || !strings.EqualFold(answer.Question[0].Name, question.Question[0].Name) ||
		answer.Question[0].Qtype != question.Question[0].Qtype {
		return nil, errMismatch
	}
	return answer, nil
}

func (d *resolve) value(answer *dns.Msg) abi.DNSResponse {
	rcode, ok := dns.RcodeToString[answer.Rcode]
	if !ok {
		rcode = fmt.Sprintf("RCODE%d", answer.Rcode)
	}
	value := abi.DNSResponse{RCode: rcode, Records: []abi.DNSRecord{}}
	for _, rr := range answer.Answer[:min(len(answer.Answer), maxRecords)] {
		h := rr.Header()
		value.Records = append(value.Records, abi.DNSRecord{Name: plainName(h.Name), Type: dns.TypeToString[h.Rrtype], TTL: h.Ttl, Value: recordValue(rr)})
	}
	return value
}

func plainName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// plainText resolves the escapes of zone files (RFC 1035, section 5.1): "\\\"" and "\\255". What is no UTF-8 then is replaced.
func plainText(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 10, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		i++
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// recordValue is the data of a record as a zone file has it, but for names, which have no final dot, and texts, which have no quotes.
func recordValue(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.PTR:
		return plainName(rr.Ptr)
	case *dns.CNAME:
		return plainName(rr.Target)
	case *dns.NS:
		return plainName(rr.Ns)
	case *dns.MX:
		return fmt.Sprintf("%d %s", rr.Preference, plainName(rr.Mx))
	case *dns.TXT:
		return plainText(strings.Join(rr.Txt, ""))
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}
