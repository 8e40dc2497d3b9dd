package main

import (
	"encoding/xml"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// firewall is the XML API of one firewall. The host adds the key to each request.
type firewall struct {
	call     *pdk.Call
	settings settings
}

// response is what all answers of the XML API have in common, and the parts that we read.
type response struct {
	XMLName xml.Name `xml:"response"`
	Status  string   `xml:"status,attr"`
	Code    string   `xml:"code,attr"`
	Msg     struct {
		Text  string `xml:",chardata"`
		Lines []line `xml:"line"`
	} `xml:"msg"`
	Result struct {
		Msg     string      `xml:"msg"`
		Entries []addresses `xml:"entry"`
	} `xml:"result"`
}

// What encoding/xml works out of the types is there when a call begins.
var _ = xml.Unmarshal([]byte("<response/>"), new(response))

type line struct {
	Text         string   `xml:",chardata"`
	Registered   []remark `xml:"uid-response>payload>register>entry"`
	Unregistered []remark `xml:"uid-response>payload>unregister>entry"`
}

// remark is what the firewall has to say about one address of a message.
type remark struct {
	Message string `xml:"message,attr"`
}

type addresses struct {
	IP   string   `xml:"ip,attr"`
	Tags []string `xml:"tag>member"`
}

// message is the document of type=user-id.
type message struct {
	XMLName    xml.Name `xml:"uid-message"`
	Version    string   `xml:"version"`
	Type       string   `xml:"type"`
	Register   *entry   `xml:"payload>register>entry"`
	Unregister *entry   `xml:"payload>unregister>entry"`
}

type entry struct {
	IP     string `xml:"ip,attr"`
	Member member `xml:"tag>member"`
}

type member struct {
	Timeout int64  `xml:"timeout,attr,omitempty"`
	Tag     string `xml:",chardata"`
}

// tag registers or unregisters the tag. already says that there was nothing to do: the firewall calls that an error, for us it is none.
func (fw *firewall) tag(verb string, p params) (already bool, err error) {
	m := message{Version: "2.0", Type: "update"}
	if verb == "register" {
		m.Register = &entry{IP: p.IP, Member: member{p.Timeout, p.Tag}}
	} else {
		m.Unregister = &entry{IP: p.IP, Member: member{Tag: p.Tag}}
	}
	cmd, err := xml.Marshal(m)
	if err != nil {
		return false, pdk.Fail(abi.Invalid, "the tag cannot be written as XML: "+err.Error(), "")
	}
	answer, err := fw.call.HTTP("register").PostForm(fw.url(), fw.query("user-id", string(cmd)).Encode())
	if err != nil {
		return false, err
	}
	r, err := read(answer)
	if err != nil || r.Status == "success" {
		return false, err
	}
	for _, remark := range r.remarks() {
		if !strings.Contains(remark, "already exists, ignore") && !strings.Contains(remark, "does not exist, ignore unreg") {
			return false, pdk.Fail(abi.Failed, "the firewall did not take the "+verb+" message: "+remark, "")
		}
		already = true
	}
	if !already {
		return false, r.fault()
	}
	return true, nil
}

// renew takes the tag off and puts it on again. What fails in between would leave the address free, so the second half is tried twice.
func (fw *firewall) renew(p params) error {
	if _, err := fw.tag("unregister", p); err != nil {
		return err
	}
	_, err := fw.tag("register", p)
	if err != nil {
		fw.call.Warn("the tag was taken off in order to renew it, and could not be put on again: " + err.Error())
		_, err = fw.tag("register", p)
	}
	return err
}

// tags lists the tags of an address.
func (fw *firewall) tags(ip string) ([]string, error) {
	query := fw.query("op", "<show><object><registered-ip><ip>"+ip+"</ip></registered-ip></object></show>")
	answer, err := fw.call.HTTP("show").Get(fw.url() + "?" + query.Encode())
	if err != nil {
		return nil, err
	}
	r, err := read(answer)
	if err != nil {
		return nil, err
	}
	if r.Status != "success" {
		return nil, r.fault()
	}
	tags := []string{}
	for _, e := range r.Result.Entries {
		if addr, err := netip.ParseAddr(strings.TrimSuffix(e.IP, "/32")); err == nil && addr.Unmap().String() == ip {
			tags = append(tags, e.Tags...)
		}
	}
	return tags, nil
}

func (fw *firewall) url() string { return strings.TrimRight(fw.settings.BaseURL, "/") + "/api/" }

func (fw *firewall) query(kind, cmd string) url.Values {
	v := url.Values{"type": {kind}, "cmd": {cmd}}
	if fw.settings.Vsys != "" {
		v.Set("vsys", fw.settings.Vsys)
	}
	return v
}

// read takes an answer apart. The API says what is wrong in XML, with status 200 or another; what is no such XML goes by the status.
func read(answer *pdk.Response) (*response, error) {
	r := &response{}
	if err := xml.Unmarshal(answer.Bytes(), r); err != nil || r.Status != "success" && r.Status != "error" {
		if err := answer.Expect(); err != nil {
			return nil, err
		}
		return nil, pdk.Fail(abi.Unavailable, "the firewall answered something else than the XML API does", "check base_url in the connector's settings")
	}
	if r.Status == "success" {
		return r, answer.Expect()
	}
	if r.Code == "" && answer.Status != 200 {
		r.Code = strconv.Itoa(answer.Status)
	}
	if kindOf(r.Code) != abi.Failed || answer.Status != 200 {
		return nil, r.fault()
	}
	return r, nil
}

// remarks are the messages about single addresses.
func (r *response) remarks() []string {
	var all []string
	for _, l := range r.Msg.Lines {
		for _, remark := range append(l.Registered, l.Unregistered...) {
			all = append(all, remark.Message)
		}
	}
	return all
}

// fault says what the firewall says.
func (r *response) fault() error {
	text := strings.TrimSpace(r.Msg.Text + " " + r.Result.Msg)
	for _, l := range r.Msg.Lines {
		text = strings.TrimSpace(text + " " + strings.TrimSpace(l.Text))
	}
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + " …"
	}
	kind, hint := kindOf(r.Code), ""
	if kind == abi.Unauthorized {
		hint = "check api_key in the connector's settings, and that its role may use the XML API for User-ID and operational requests"
	}
	return pdk.Fail(kind, "the firewall answered: "+text+" (code "+r.Code+")", hint)
}

// kindOf maps the API's error codes (PAN-OS and Panorama API Guide, "PAN-OS XML API Error Codes") to ours.
func kindOf(code string) abi.Kind {
	switch code {
	case "403", "401", "16", "22": // bad credentials, unauthorized, session timed out
		return abi.Unauthorized
	case "400", "17", "18": // bad request, invalid command, malformed command
		return abi.Invalid
	case "7": // object not present
		return abi.NotFound
	case "8", "10", "14": // not unique, reference count not zero, operation not possible
		return abi.Conflict
	case "429":
		return abi.RateLimited
	case "2", "3", "4", "5", "11", "21", "500", "502", "503", "504": // internal errors
		return abi.Unavailable
	}
	return abi.Failed
}
