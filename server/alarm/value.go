package alarm

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// typed turns text into the value of a field. odd is empty, or says what had to be guessed; err says what was expected.
func typed(kind Kind, text string, now time.Time) (v any, odd string, err error) {
	switch kind {
	case Integer, Port:
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case kind == Port && (err != nil || n < 0 || n > 65535):
			return nil, "", errors.New("no port from 0 to 65535")
		case err != nil || n < 0:
			return nil, "", errors.New("no whole number that is zero or greater")
		}
		return n, "", nil
	case Number:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			return nil, "", errors.New("no number")
		}
		return x, "", nil
	case Bool:
		switch strings.ToLower(text) {
		case "true", "yes", "1":
			return true, "", nil
		case "false", "no", "0":
			return false, "", nil
		}
		return nil, "", errors.New("neither true nor false")
	case IP:
		ip, odd, ok := address(text)
		if !ok {
			return nil, "", errors.New("no IP address")
		}
		return ip, odd, nil
	case MAC:
		mac, ok := hardware(text)
		if !ok {
			return nil, "", errors.New("no MAC address")
		}
		return mac, "", nil
	case Time:
		t, odd, ok := ParseTime(text, now)
		if !ok {
			return nil, "", errors.New("no time (RFC 3339, milliseconds since 1970, or MMM dd yyyy HH:mm:ss)")
		}
		return stamp(t), odd, nil
	case Lower:
		return strings.ToLower(text), "", nil
	case List:
		return []any{text}, "", nil
	default:
		return text, "", nil
	}
}

// stamp writes a time as alarms carry it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// address reads an IP address and writes it in the one form that can be compared.
func address(text string) (ip, odd string, ok bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return "", "", false
	}
	if a.Is4() {
		return text, "", true // netip accepts one spelling only
	}
	if a.Zone() != "" {
		a, odd = a.WithZone(""), "zone "+strconv.Quote(clip(a.Zone()))+" of the address left out"
	}
	return a.Unmap().String(), odd, true
}

// hardware reads a MAC address of six or eight bytes.
func hardware(text string) (string, bool) {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) > 8 {
		return "", false
	}
	return strings.ToUpper(strings.ReplaceAll(mac.String(), ":", "-")), true
}

// clip shortens a text for a warning.
func clip(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
