package panos

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of the registration, from the lab guide: a tag lives at most 30 days, an address has at most 32 tags of at most 127
// characters.
const (
	maxTimeout = 2_592_000
	maxTags    = 32
	maxTagLen  = 127
	maxPage    = 500 // entries of one page of show object registered-ip
)

// uidMessage is the document of type=user-id; login, logout and the like are read past.
type uidMessage struct {
	XMLName xml.Name `xml:"uid-message"`
	Type    string   `xml:"type"`
	Payload struct {
		Register   *uidEntries `xml:"register"`
		Unregister *uidEntries `xml:"unregister"`
	} `xml:"payload"`
}

type uidEntries struct {
	Entry []struct {
		IP         string `xml:"ip,attr"`
		Persistent string `xml:"persistent,attr"`
		Member     []struct {
			Timeout string `xml:"timeout,attr"`
			Tag     string `xml:",chardata"`
		} `xml:"tag>member"`
	} `xml:"entry"`
}

// complaint is what the answer says about one address. A request with complaints is answered with status error, but what was
// right in it is done.
type complaint struct{ ip, message string }

func (s *Server) userID(w http.ResponseWriter, params url.Values) {
	var m uidMessage
	if err := xml.Unmarshal([]byte(params.Get("cmd")), &m); err != nil {
		fail(w, codeMalformed, "cmd is not a uid-message: "+err.Error())
		return
	}
	if strings.TrimSpace(m.Type) != "update" {
		fail(w, codeMalformed, "uid-message: type must be update")
		return
	}
	if m.Payload.Register == nil && m.Payload.Unregister == nil {
		fail(w, codeInvalidCommand, "uid-message: this firewall takes register and unregister only")
		return
	}
	registered := s.each(m.Payload.Register, vsys(params), s.register)
	unregistered := s.each(m.Payload.Unregister, vsys(params), s.unregister)
	payload := "<uid-response><version>2.0</version><payload>" + element("register", m.Payload.Register, registered) +
		element("unregister", m.Payload.Unregister, unregistered) + "</payload></uid-response>"
	if len(registered)+len(unregistered) > 0 {
		answer(w, http.StatusOK, `<response status="error"><msg><line>`+payload+`</line></msg></response>`)
		return
	}
	succeed(w, payload)
}

func element(name string, asked *uidEntries, complaints []complaint) string {
	if asked == nil {
		return ""
	}
	var out strings.Builder
	out.WriteString("<" + name + ">")
	for _, c := range complaints {
		fmt.Fprintf(&out, `<entry ip="%s" message="%s"/>`, escape(c.ip), escape(c.message))
	}
	out.WriteString("</" + name + ">")
	return out.String()
}

// each calls do with every tag of every entry and collects what it has to say.
func (s *Server) each(entries *uidEntries, vsys string, do func(r Registered, timeout string) string) []complaint {
	if entries == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live() // what has expired by now is not there any more
	var out []complaint
	for _, e := range entries.Entry {
		ip, ok := canonical(e.IP)
		if !ok {
			out = append(out, complaint{e.IP, "ip " + e.IP + " is invalid"})
			continue
		}
		if len(e.Member) == 0 {
			out = append(out, complaint{e.IP, "tag is missing"})
		}
		for _, m := range e.Member {
			r := Registered{IP: ip, Tag: strings.TrimSpace(m.Tag), Vsys: vsys, Persistent: e.Persistent != "0"}
			if message := do(r, m.Timeout); message != "" {
				out = append(out, complaint{e.IP, message})
			}
		}
	}
	return out
}

// register puts a tag on an address. A tag that is there already stays as it is, its expiry too.
func (s *Server) register(r Registered, timeout string) string {
	count := s.count[r.IP]
	count.Register++
	defer func() { s.count[r.IP] = count }()
	if r.Tag == "" || len(r.Tag) > maxTagLen {
		return fmt.Sprintf("tag must have 1 to %d characters", maxTagLen)
	}
	if timeout != "" {
		seconds, err := strconv.Atoi(timeout)
		if err != nil || seconds < 0 || seconds > maxTimeout {
			return fmt.Sprintf("timeout %s is invalid, must be 0 to %d", timeout, maxTimeout)
		}
		r.Timeout = seconds
	}
	id := mapping{r.Vsys, r.IP, r.Tag}
	if s.tags[id] != nil {
		return "tag " + r.Tag + " already exists, ignore"
	}
	have := 0
	for other := range s.tags {
		if other.vsys == r.Vsys && other.ip == r.IP {
			have++
		}
	}
	if have >= maxTags {
		return fmt.Sprintf("ip %s has %d tags already", r.IP, maxTags)
	}
	r.Registered = s.now()
	if r.Timeout > 0 {
		r.Expires = r.Registered.Add(time.Duration(r.Timeout) * time.Second)
	}
	s.tags[id] = &r
	count.Changes++
	return ""
}

// unregister takes a tag from an address.
func (s *Server) unregister(r Registered, _ string) string {
	count := s.count[r.IP]
	count.Unregister++
	defer func() { s.count[r.IP] = count }()
	id := mapping{r.Vsys, r.IP, r.Tag}
	if s.tags[id] != nil {
		delete(s.tags, id)
		count.Changes++
		return ""
	}
	for other := range s.tags {
		if other.vsys == r.Vsys && other.ip == r.IP {
			return "tag " + r.Tag + " does not exist, ignore unreg"
		}
	}
	return "ip " + r.IP + " does not exist, ignore unreg"
}

// canonical checks an address, or since PAN-OS 10.0 an IPv4 network or range, and writes it in one way.
func canonical(s string) (string, bool) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return ip.String(), true
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		if p.IsSingleIP() {
			return p.Addr().String(), true
		}
		return p.Masked().String(), p.Addr().Is4()
	}
	from, to, ok := strings.Cut(s, "-")
	a, errA := netip.ParseAddr(from)
	b, errB := netip.ParseAddr(to)
	return s, ok && errA == nil && errB == nil && a.Is4() && b.Is4() && !b.Less(a)
}

// opCommand is the operational commands that the firewall knows.
type opCommand struct {
	XMLName      xml.Name
	RegisteredIP *showRegisteredIP `xml:"object>registered-ip"`
	SystemInfo   *struct{}         `xml:"system>info"`
}

// showRegisteredIP is <show><object><registered-ip>, plain or inside of <all>.
type showRegisteredIP struct {
	IP    string `xml:"ip"`
	Tag   *named `xml:"tag>entry"`
	Limit string `xml:"limit"`
	Start string `xml:"start-point"`
	All   *struct {
		Limit string `xml:"limit"`
		Start string `xml:"start-point"`
	} `xml:"all"`
}

type named struct {
	Name string `xml:"name,attr"`
}

// showRegistered lists addresses with all their tags, a page at a time: start-point counts entries from 1.
func (s *Server) showRegistered(w http.ResponseWriter, vsys string, cmd *showRegisteredIP) {
	if cmd.All != nil {
		cmd.Limit, cmd.Start = cmd.All.Limit, cmd.All.Start
	}
	limit, err := between(cmd.Limit, maxPage, 1, maxPage)
	if err != nil {
		fail(w, codeInvalidCommand, "limit -> "+err.Error())
		return
	}
	start, err := between(cmd.Start, 1, 1, 1<<30)
	if err != nil {
		fail(w, codeInvalidCommand, "start-point -> "+err.Error())
		return
	}
	type entry struct {
		ip         string
		persistent bool
		tags       []string
	}
	var all []entry
	ip, tag := strings.TrimSpace(cmd.IP), cmd.Tag
	if want, ok := canonical(ip); ok {
		ip = want
	}
	s.mu.Lock()
	live := s.live()
	s.mu.Unlock()
	for _, r := range live {
		if r.Vsys != vsys || ip != "" && r.IP != ip {
			continue
		}
		if n := len(all); n == 0 || all[n-1].ip != r.IP {
			all = append(all, entry{ip: r.IP})
		}
		e := &all[len(all)-1]
		e.tags, e.persistent = append(e.tags, r.Tag), e.persistent || r.Persistent
	}
	all = slices.DeleteFunc(all, func(e entry) bool { return tag != nil && !slices.Contains(e.tags, tag.Name) })
	page := all[min(start-1, len(all)):min(start-1+limit, len(all))]
	var out strings.Builder
	for _, e := range page {
		fmt.Fprintf(&out, `<entry ip="%s" from_agent="0" persistent="%d"><tag>`, escape(e.ip), map[bool]int{true: 1}[e.persistent])
		for _, t := range e.tags {
			out.WriteString("<member>" + escape(t) + "</member>")
		}
		out.WriteString("</tag></entry>")
	}
	fmt.Fprintf(&out, "<count>%d</count>", len(page))
	succeed(w, out.String())
}

// between reads a number that must lie in a range; an absent one is otherwise.
func between(s string, otherwise, low, high int) (int, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s is invalid, must be %d to %d", s, low, high)
	}
	return n, nil
}
