package main

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
	"github.com/riposte-soar/riposte/plugins/geoip/countries"
)

func TestLocate(t *testing.T) {
	own := settings{Networks: []network{
		{CIDR: "10.0.0.0/8", Country: "DE", Org: "Example AG"},
		{CIDR: "10.20.0.0/16", Country: "FR", City: "Lyon", Org: "Example AG", Site: "plant-2"},
		{CIDR: "198.51.0.0/16", Site: "lab"},
		{CIDR: "2001:db8::/32", Country: "NL"},
	}}
	for ip, want := range map[string]result{
		"10.1.2.3":           {Country: "DE", CountryName: "Germany", Org: "Example AG", Special: "private", Network: "10.0.0.0/8", Source: "settings"},
		"10.20.0.1":          {Country: "FR", CountryName: "France", City: "Lyon", Org: "Example AG", Special: "private", Site: "plant-2", Network: "10.20.0.0/16", Source: "settings"},
		"::ffff:10.20.0.1":   {Country: "FR", CountryName: "France", City: "Lyon", Org: "Example AG", Special: "private", Site: "plant-2", Network: "10.20.0.0/16", Source: "settings"},
		"198.51.100.7":       {Special: "documentation", Site: "lab", Network: "198.51.0.0/16", Source: "settings"},
		"2001:db8::1":        {Country: "NL", CountryName: "Netherlands", Special: "documentation", Network: "2001:db8::/32", Source: "settings"},
		"192.168.1.1":        {Special: "private", Source: "special"},
		"100.64.0.1":         {Special: "shared", Source: "special"},
		"127.0.0.1":          {Special: "loopback", Source: "special"},
		"169.254.169.254":    {Special: "link-local", Source: "special"},
		"192.0.2.1":          {Special: "documentation", Source: "special"},
		"255.255.255.255":    {Special: "broadcast", Source: "special"},
		"fe80::1%eth0":       {Special: "link-local", Source: "special"},
		"fd00::1":            {Special: "private", Source: "special"},
		"::1":                {Special: "loopback", Source: "special"},
		"193.0.6.139":        {Country: "NL", CountryName: "Netherlands", Source: "table"},
		"8.8.8.8":            {Country: "US", CountryName: "United States", Source: "table"},
		"202.12.29.211":      {Country: "AU", CountryName: "Australia", Source: "table"},
		"2001:67c:2e8:22::1": {Country: "NL", CountryName: "Netherlands", Source: "table"},
		"4000::1":            {Source: "table"},
	} {
		got, fault := pdk.Try(locate, own, params{ip}, nil)
		want.IP = ip
		if fault != nil || got != want {
			t.Errorf("%s: got %+v %v, want %+v", ip, got, fault, want)
		}
	}
	if _, fault := pdk.Try(locate, nil, params{"10.0.0"}, nil); fault == nil || fault.Kind != abi.Invalid || fault.Where != "$.parameters.ip" {
		t.Errorf("got %v", fault)
	}
}

// The parts of the table are what table.go says: blocks that follow each other, countries that exist, and look-ups at the edges of each
// span that find that span.
func TestTable(t *testing.T) {
	made := time.Unix(int64(binary.BigEndian.Uint64([]byte(table[:8]))), 0)
	if made.Year() < 2026 {
		t.Errorf("the table was made in %d", made.Year())
	}
	last := byte(countries.Count())
	rest := table[8:]
	for _, version := range []int{4, 6} {
		size := number(rest)
		part := rest[4 : 4+size]
		rest = rest[4+size:]
		blocks := int(number(part))
		spans := part[4+blocks*indexEntry:]
		total, from := 0, uint64(0)
		for len(spans) > 0 {
			country, shift, length := spans[0], spans[1], uint64(0)
			spans = spans[2:]
			if shift < 64 {
				length = 1 << shift
			} else {
				v, n := uvarint(spans)
				length, spans = v<<(shift-64), spans[n:]
			}
			if total%blockSize == 0 {
				at := part[4+total/blockSize*indexEntry:]
				if first := uint64(number(at))<<32 | uint64(number(at[4:])); first != from {
					t.Fatalf("IPv%d: block %d begins at %d, its index says %d", version, total/blockSize, from, first)
				}
			}
			if total++; country > last {
				t.Fatalf("IPv%d: span %d is of country %d", version, total, country)
			}
			if total%7 == 0 && (find(part, from) != country || length > 0 && find(part, from+length-1) != country) {
				t.Fatalf("IPv%d: span %d at %d is not found", version, total, from)
			}
			if length == 0 && len(spans) > 0 {
				t.Fatalf("IPv%d: span %d has no end", version, total)
			}
			from += length
		}
		if total < 100_000 || blocks != (total+blockSize-1)/blockSize {
			t.Errorf("IPv%d: %d spans in %d blocks", version, total, blocks)
		}
	}
	if rest != "" {
		t.Errorf("%d bytes behind the table", len(rest))
	}
}

func TestSpecialsAreReadable(t *testing.T) {
	for _, line := range strings.Split(strings.TrimSpace(specials), "\n") {
		cidr, purpose, _ := strings.Cut(line, " ")
		p, err := netip.ParsePrefix(cidr)
		if err != nil || p != p.Masked() || purpose == "" {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if special(p.Addr()) == "" {
			t.Errorf("%s is not found", cidr)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	addr := netip.MustParseAddr("193.0.6.139")
	for b.Loop() {
		lookup(addr)
	}
}
