package capability

import (
	"net/netip"
	"testing"
)

func TestNetworkDial(t *testing.T) {
	site := Network{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.5/32"), netip.MustParsePrefix("169.254.7.0/24")},
		Deny:  []netip.Prefix{netip.MustParsePrefix("10.66.0.0/16"), netip.MustParsePrefix("169.254.7.9/32")},
		Own:   []netip.AddrPort{netip.MustParseAddrPort("192.168.1.2:8443"), netip.MustParseAddrPort("169.254.7.1:443")},
	}
	for _, c := range []struct {
		to    string
		named bool
		want  Reason
	}{
		{"8.8.8.8:53", false, ""},
		{"[2606:4700::1]:443", false, ""},
		{"127.0.0.1:80", true, IPAddress},
		{"127.0.0.5:80", false, ""},
		{"[::1]:80", true, IPAddress},
		{"[::ffff:127.0.0.1]:80", true, IPAddress},
		{"[::127.0.0.1]:80", true, IPAddress},
		{"[64:ff9b::7f00:1]:80", true, IPAddress},
		{"[64:ff9b::808:808]:80", false, ""},
		{"[2002:7f00:1::]:80", true, IPAddress},
		{"[2001::1]:80", true, IPAddress},
		{"[fe80::1%eth0]:80", true, IPAddress},
		{"[fd00:ec2::254]:80", true, IPAddress},
		{"169.254.169.254:80", true, IPAddress},
		{"169.254.7.7:80", false, ""},
		{"169.254.7.9:80", true, Denied},
		{"100.100.100.200:80", true, IPAddress},
		{"0.0.0.0:80", true, IPAddress},
		{"0.1.2.3:80", true, IPAddress},
		{"[::]:80", true, IPAddress},
		{"224.0.0.1:80", true, IPAddress},
		{"[ff02::1]:80", true, IPAddress},
		{"255.255.255.255:80", true, IPAddress},
		{"192.0.0.8:80", true, IPAddress},
		{"10.1.2.3:443", true, ""},
		{"10.1.2.3:443", false, IPAddress},
		{"10.66.2.3:443", true, Denied},
		{"172.31.0.1:443", false, IPAddress},
		{"192.168.1.2:443", true, ""},
		{"192.168.1.2:8443", true, IPAddress},
		{"169.254.7.1:443", true, IPAddress}, // allowed by its network only
		{"[fd12::1]:443", true, ""},
		{"[fd12::1]:443", false, IPAddress},
		{"100.64.1.1:443", true, ""},
		{"203.0.113.9:443", true, ""},
		{"203.0.113.9:443", false, IPAddress},
	} {
		got := Reason("")
		if r := site.Dial(netip.MustParseAddrPort(c.to), c.named); r != nil {
			got = r.Reason
		}
		if got != c.want {
			t.Errorf("%s (named %v): got %q, want %q", c.to, c.named, got, c.want)
		}
	}
	site.Allow = append(site.Allow, netip.MustParsePrefix("192.168.1.2/32"))
	if r := site.Dial(netip.MustParseAddrPort("192.168.1.2:8443"), true); r != nil {
		t.Errorf("our own address, allowed by name: %v", r)
	}
}
