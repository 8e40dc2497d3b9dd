package capability

import (
	"net/netip"
)

// Network is the site's policy for every outgoing connection of every plugin. It is checked on the address that is really dialled, after
// names were resolved.
//
// Without being named in Allow these are refused: loopback, link-local (where clouds keep their metadata service), unspecified, multicast,
// broadcast and reserved addresses, the transition prefixes that hide an IPv4 address (6to4, Teredo, IPv4-compatible), and the server's own
// listeners. Private addresses (RFC 1918, RFC 4193, RFC 6598 and the like) are normal for the devices of a security team: they may be
// reached where the right names the host or its network, not where it has only a wildcard.
type Network struct {
	Allow     []netip.Prefix // lifts the standing refusals, never a denial
	Deny      []netip.Prefix // never reached; wins over Allow
	DenyHosts []string       // host patterns that are never reached
	// Own are the addresses that this server listens on (a wildcard listener expanded to the addresses of its interfaces). Only an Allow of
	// exactly that address lifts it.
	Own []netip.AddrPort
}

// Dial decides whether a connection to the address may be opened; named says that the right names the host or its network.
func (n Network) Dial(to netip.AddrPort, named bool) *Refusal {
	addr := to.Addr().Unmap().WithZone("")
	const hint = "if this is meant, the operator allows the network in the site's policy"
	for _, p := range n.Deny {
		if p.Contains(addr) {
			return refuse(Denied, "", "address %s: the site's policy denies %s", addr, p)
		}
	}
	allowed, exactly := false, false
	for _, p := range n.Allow {
		if p.Contains(addr) {
			allowed, exactly = true, exactly || p.IsSingleIP()
		}
	}
	for _, own := range n.Own {
		if own.Port() == to.Port() && own.Addr().Unmap() == addr && !exactly {
			return refuse(IPAddress, hint, "address %s is this server itself", to)
		}
	}
	if allowed {
		return nil
	}
	if embedded, ok := nat64(addr); ok {
		return n.Dial(netip.AddrPortFrom(embedded, to.Port()), named)
	}
	class, private := classify(addr)
	switch {
	case class == "":
		return nil
	case private && named:
		return nil
	case private:
		return refuse(IPAddress, "name the host or its network in the grant", "address %s is %s, and the right has only a wildcard for it", addr, class)
	}
	return refuse(IPAddress, hint, "address %s is %s", addr, class)
}

// nat64 gives the IPv4 address inside the well-known prefix of RFC 6052.
func nat64(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() || !netip.MustParsePrefix("64:ff9b::/96").Contains(addr) {
		return netip.Addr{}, false
	}
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:])), true
}

// classify names what is special about an address, by the registries of RFC 6890; private ones may be reached if they are named.
func classify(addr netip.Addr) (class string, private bool) {
	switch {
	case addr.IsLoopback():
		return "a loopback address", false
	case addr.IsUnspecified():
		return "the unspecified address", false
	case addr.IsMulticast():
		return "a multicast address", false
	case addr.IsLinkLocalUnicast():
		return "a link-local address", false
	case addr.IsPrivate():
		if addr == netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54}) {
			return "a cloud's metadata service", false
		}
		return "a private address", true
	}
	if addr.Is4() {
		return classify4(addr.As4())
	}
	return classify6(addr)
}

func classify4(b [4]byte) (string, bool) {
	switch {
	case b[0] == 0:
		return "an address of \"this network\"", false
	case b[0] >= 240:
		return "a reserved address", false
	case b == [4]byte{100, 100, 100, 200}:
		return "a cloud's metadata service", false
	case b[0] == 100 && b[1]&0xc0 == 64:
		return "a shared address", true
	case b[0] == 192 && b[1] == 0 && b[2] == 0:
		return "an address of protocol assignments", false
	case b[0] == 192 && b[1] == 0 && b[2] == 2, b[0] == 198 && b[1] == 51 && b[2] == 100, b[0] == 203 && b[1] == 0 && b[2] == 113:
		return "a documentation address", true
	case b[0] == 198 && b[1]&0xfe == 18:
		return "a benchmarking address", true
	}
	return "", false
}

func classify6(addr netip.Addr) (string, bool) {
	b := addr.As16()
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		return "a 6to4 address", false
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0:
		return "a Teredo address", false
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8:
		return "a documentation address", true
	case b[0]&0xe0 != 0x20:
		return "an address outside the global unicast range", false
	}
	return "", false
}
