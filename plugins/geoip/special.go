package main

import (
	"net/netip"
	"strings"
)

// specials are the blocks of IANA's registries of special-purpose addresses (RFC 6890 and its successors) and of multicast, longest first
// where they overlap.
const specials = `
255.255.255.255/32 broadcast
0.0.0.0/8 this-network
10.0.0.0/8 private
100.64.0.0/10 shared
127.0.0.0/8 loopback
169.254.0.0/16 link-local
172.16.0.0/12 private
192.0.0.0/24 protocol-assignments
192.0.2.0/24 documentation
192.88.99.0/24 6to4-relay
192.168.0.0/16 private
198.18.0.0/15 benchmarking
198.51.100.0/24 documentation
203.0.113.0/24 documentation
224.0.0.0/4 multicast
240.0.0.0/4 reserved
::/128 unspecified
::1/128 loopback
64:ff9b::/96 nat64
64:ff9b:1::/48 nat64
100::/64 discard-only
2001::/32 teredo
2001:2::/48 benchmarking
2001:20::/28 orchid
2001:db8::/32 documentation
2002::/16 6to4
3fff::/20 documentation
5f00::/16 segment-routing
fc00::/7 private
fe80::/10 link-local
ff00::/8 multicast
`

// special says what an address is reserved for; empty for an ordinary one.
func special(addr netip.Addr) string {
	for line := range strings.Lines(strings.TrimSpace(specials)) {
		cidr, purpose, _ := strings.Cut(strings.TrimSpace(line), " ")
		if p, err := netip.ParsePrefix(cidr); err == nil && p.Contains(addr) {
			return purpose
		}
	}
	return ""
}
