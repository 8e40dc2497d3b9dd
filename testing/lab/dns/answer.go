package dnssim

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// FaultKind is a way to misbehave.
type FaultKind string

// The kinds of faults.
const (
	ServFail FaultKind = "servfail"
	Refused  FaultKind = "refused"
	NXDomain FaultKind = "nxdomain"
	Empty    FaultKind = "empty"    // NOERROR without an answer
	Timeout  FaultKind = "timeout"  // no answer at all
	Truncate FaultKind = "truncate" // over UDP: TC and no answer, so that the client must come over TCP
	Delay    FaultKind = "delay"    // the right answer after DelayMS
	WrongID  FaultKind = "wrong_id" // an answer with another ID, as of a spoofer; a client must not take it
)

// Fault is one misbehaviour, armed with Fail or POST /faults.
type Fault struct {
	Kind    FaultKind `json:"kind"`
	Name    string    `json:"name,omitempty"`  // this name or one below it; "" is any
	Type    string    `json:"type,omitempty"`  // A, PTR …; "" is any
	Net     string    `json:"net,omitempty"`   // udp or tcp; "" is both
	Times   int       `json:"times,omitempty"` // 0: until cleared
	DelayMS int       `json:"delay_ms,omitempty"`
}

// Fail checks f and arms it.
func (s *Server) Fail(f Fault) error {
	switch f.Kind {
	case ServFail, Refused, NXDomain, Empty, Timeout, Truncate, Delay, WrongID:
	default:
		return fmt.Errorf("kind: %q is unknown; expected servfail, refused, nxdomain, empty, timeout, truncate, delay or wrong_id", f.Kind)
	}
	if _, ok := dns.StringToType[f.Type]; f.Type != "" && !ok {
		return fmt.Errorf("type: %q is unknown; expected A, AAAA, PTR …", f.Type)
	}
	if f.Net != "" && f.Net != "udp" && f.Net != "tcp" {
		return fmt.Errorf("net: %q; expected udp or tcp", f.Net)
	}
	s.faults.Add(f, f.Times)
	return nil
}

func (f Fault) matches(q Seen) bool {
	return (f.Name == "" || dns.IsSubDomain(dns.CanonicalName(f.Name), dns.CanonicalName(q.Name))) &&
		(f.Type == "" || f.Type == q.Type) &&
		(f.Net == "" || f.Net == q.Net) &&
		(f.Kind != Truncate || q.Net == "udp")
}

func (s *Server) handle(w dns.ResponseWriter, req *dns.Msg) {
	if len(req.Question) != 1 {
		reply := new(dns.Msg).SetRcode(req, dns.RcodeFormatError)
		_ = w.WriteMsg(reply) // the client may have left
		return
	}
	q := req.Question[0]
	seen := Seen{Time: s.opts.Now(), Net: w.LocalAddr().Network(), Name: strings.TrimSuffix(dns.CanonicalName(q.Name), "."), Type: dns.TypeToString[q.Qtype]}
	reply := s.answer(req)
	f, hit := s.faults.Take(func(f Fault) bool { return f.matches(seen) })
	if hit {
		seen.Fault = f.Kind
		f.apply(reply)
	}
	fit(reply, req, seen.Net)
	seen.Rcode, seen.Answers, seen.TC = dns.RcodeToString[reply.Rcode], len(reply.Answer), reply.Truncated
	if f.Kind == Timeout {
		seen.Rcode, seen.Answers = "", 0
	}
	s.log.Add(seen)
	if f.Kind == Timeout || rig.Sleep(s.ctx, rig.Milliseconds(f.DelayMS)) != nil {
		return
	}
	_ = w.WriteMsg(reply)
}

// apply turns the right reply into the wrong one.
func (f Fault) apply(m *dns.Msg) {
	fail := func(rcode int) { m.Rcode, m.Answer, m.Ns = rcode, nil, nil }
	switch f.Kind {
	case ServFail:
		fail(dns.RcodeServerFailure)
	case Refused:
		fail(dns.RcodeRefused)
	case NXDomain:
		fail(dns.RcodeNameError)
		m.Ns = []dns.RR{soa(m.Question[0].Name)}
	case Empty:
		fail(dns.RcodeSuccess)
	case Truncate:
		fail(dns.RcodeSuccess)
		m.Truncated = true
	case WrongID:
		m.Id++
	case Timeout, Delay:
	}
}

// maxAliases bounds how many CNAME records are followed.
const maxAliases = 8

// answer resolves the question, following aliases.
func (s *Server) answer(req *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(req)
	m.RecursionAvailable = true
	q := req.Question[0]
	name := dns.CanonicalName(q.Name)
	for range maxAliases {
		records, known := s.records[name]
		if !known {
			m.Rcode = dns.RcodeNameError
			break
		}
		alias, hit := "", false
		for _, rr := range records {
			t := rr.Header().Rrtype
			c, isAlias := rr.(*dns.CNAME)
			if t == q.Qtype || q.Qtype == dns.TypeANY || isAlias {
				m.Answer = append(m.Answer, dns.Copy(rr))
			}
			hit = hit || t == q.Qtype || q.Qtype == dns.TypeANY
			if isAlias {
				alias = dns.CanonicalName(c.Target)
			}
		}
		if hit || alias == "" {
			break
		}
		name = alias
	}
	if m.Rcode == dns.RcodeNameError || len(m.Answer) == 0 {
		m.Ns = []dns.RR{soa(name)}
	}
	return m
}

// fit adds EDNS if the client speaks it, and truncates a UDP reply to what the client takes.
func fit(m, req *dns.Msg, network string) {
	size := dns.MinMsgSize
	if o := req.IsEdns0(); o != nil {
		m.SetEdns0(4096, false)
		size = max(size, int(o.UDPSize()))
	}
	if network == "udp" && !m.Truncated {
		m.Truncate(size)
	}
}

// soa is the authority record of a negative answer (RFC 2308): the zone is the last two labels of name, four below arpa.
func soa(name string) dns.RR {
	keep := 2
	if dns.IsSubDomain("arpa.", dns.CanonicalName(name)) {
		keep = 4
	}
	labels := dns.SplitDomainName(name)
	zone := dns.Fqdn(strings.Join(labels[max(0, len(labels)-keep):], "."))
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns:  "ns.lab.test.", Mbox: "hostmaster.lab.test.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60,
	}
}
