package main

import (
	"net/netip"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
	"github.com/riposte-soar/riposte/plugins/whois/registry"
)

// maxRaw is how much of a registry's text goes into the result.
const maxRaw = 16 << 10

// whois asks the server and follows its referrals, as far as they are granted.
func whois(c *pdk.Call, server string, addr netip.Addr) (*registration, error) {
	var found *registration
	asked := map[string]bool{}
	for range maxHops {
		asked[server] = true
		answer, err := ask(c, server, addr)
		if err != nil {
			if f := abi.AsFault(err); f.Kind == abi.Refused && found != nil {
				c.Warn("a referral is not followed: " + f.Error())
				return found, nil
			}
			return nil, err
		}
		text := registry.Parse(answer)
		found = &registration{Registration: text.Registration(), Source: "whois", Server: server, Raw: answer}
		if len(found.Raw) > maxRaw {
			found.Raw = strings.ToValidUTF8(found.Raw[:maxRaw], "")
		}
		server = text.Referral()
		if server == "" || asked[server] {
			return found, nil
		}
	}
	return found, nil
}

// ask makes one query. Where nothing but a complaint about too many queries comes back, it is a fault.
func ask(c *pdk.Call, server string, addr netip.Addr) (string, error) {
	query := addr.String()
	if strings.HasPrefix(server, "whois.arin.net:") {
		query = "n + " + query // networks only, with all details
	}
	received, _, err := c.TCP("whois").Exchange(server, []byte(query+"\r\n"))
	if err != nil {
		return "", err
	}
	text := registry.Readable(received)
	words := strings.ToLower(text)
	switch {
	case strings.TrimSpace(text) == "":
		return "", pdk.Fail(abi.Unavailable, server+" hung up without an answer", "")
	case !registry.Parse(text).Empty():
	case strings.Contains(words, "limit exceeded"), strings.Contains(words, "access denied"), strings.Contains(words, "quota exceeded"),
		strings.Contains(words, "too many"):
		return "", pdk.Fail(abi.RateLimited, server+" answers no more queries from this address for now", "")
	}
	return text, nil
}
