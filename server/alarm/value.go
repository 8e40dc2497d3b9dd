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
func typed(f *Field, text string, now time.Time) (v value, odd string, err error) {
	v.field = f
	switch kind := f.Kind; kind {
	case Integer, Port:
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case kind == Port && (err != nil || n < 0 || n > 65535):
			return v, "", errors.New("no port from 0 to 65535")
		case err != nil || n < 0:
			return v, "", errors.New("no whole number that is zero or greater")
		}
		v.bits = uint64(n)
	case Number:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			return v, "", errors.New("no number")
		}
		v.bits = math.Float64bits(x)
	case Bool:
		switch strings.ToLower(text) {
		case "true", "yes", "1":
			v.bits = 1
		case "false", "no", "0":
		default:
			return v, "", errors.New("neither true nor false")
		}
	case IP:
		ip, odd, ok := address(text)
		if !ok {
			return v, "", errors.New("no IP address")
		}
		v.text = ip
		return v, odd, nil
	case MAC:
		mac, ok := hardware(text)
		if !ok {
			return v, "", errors.New("no MAC address")
		}
		v.text = mac
	case Time:
		t, odd, ok := ParseTime(text, now)
		if !ok {
			return v, "", errors.New("no time (RFC 3339, milliseconds since 1970, or MMM dd yyyy HH:mm:ss)")
		}
		v.text = stamp(t)
		return v, odd, nil
	case Lower:
		v.text = strings.ToLower(text)
	case List:
		v.list = []string{text}
	default:
		v.text = text
	}
	return v, "", nil
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
