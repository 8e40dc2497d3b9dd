package world

import (
	"net/netip"
	"time"
)

// The persons of the story, by what they do in it.
const (
	managers = "security-managers@corp.test"
	alice    = "alice.jones@corp.test"
	bob      = "bob.meyer@corp.test"
	carol    = "carol.diaz@corp.test"
	ops      = "it-operations@corp.test"
)

// Default is the story as the demo tells it. The workstation 10.20.30.40 raised an alarm for 203.0.113.66. In the half hour before
// it also talked to two more malicious addresses (198.51.100.23 and .77), to one that a single engine dislikes (192.0.2.44), to
// two harmless ones, and to servers inside; three hours ago to 198.51.100.200, which a half-hour window must not find. Within a
// day 10.20.30.41, 10.20.31.7 and 10.20.40.99 talked to the two malicious addresses as well, 10.20.40.99 is in no inventory;
// 10.20.50.5 did so 26 hours ago, which a window of a day must not find.
func Default() *World {
	return &World{
		MailDomain: "corp.test",
		Managers:   managers,
		HomeNet:    []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Alarm: Alarm{Source: addr("10.20.30.40"), SourcePort: 49822, Destination: addr("203.0.113.66"), DestinationPort: 443,
			BytesIn: 48_211, BytesOut: 9_120_344},
		Assets:   assets(),
		Flows:    flows(),
		Networks: networks(),
		Hosts:    hosts(),
		Domains: []Domain{
			{"cdn-telemetry.example", []netip.Addr{addr("203.0.113.66")}, "Example Registrar Ltd", day(2026, 1, 9), Verdict{17, 2, 41, 34}},
			{"updates.example.org", []netip.Addr{addr("192.0.2.10")}, "Example Registrar Ltd", day(2009, 3, 17), Verdict{0, 0, 68, 26}},
		},
		Files: []File{
			{"5f1d7a84db00d2fce00b31a7fc73224f", "a3d9f1c0b2e44f6f8b1e6a5d7c90fe12b34c56d7",
				"9c1f4e2ab87d30651be2f0c4d97a83e6150fbb2c7de84a90316cf5d2e8b74a01", "invoice_4471.scr", "Win32 EXE", 482_304,
				"trojan.beacon/agent", Verdict{52, 0, 0, 20}},
			{"0cc175b9c0f1b6a831c399e269772661", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8",
				"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "a.txt", "Text", 1, "", Verdict{0, 0, 0, 62}},
		},
	}
}

func assets() []Asset {
	return []Asset{
		{addr("10.20.30.40"), "ws-0140.corp.test", alice, "Sales", "medium", "Windows 11 23H2", "Berlin, 3rd floor"},
		{addr("10.20.30.41"), "fin-0007.corp.test", bob, "Finance", "high", "Windows 11 23H2", "Berlin, 2nd floor"},
		{addr("10.20.31.7"), "srv-build-02.corp.test", carol, "Engineering", "high", "Ubuntu 24.04", "Frankfurt, rack B4"},
		{addr("10.20.50.5"), "ws-0533.corp.test", "dmitri.kos@corp.test", "Logistics", "low", "Windows 10 22H2", "Hamburg, warehouse"},
		{addr("10.20.0.1"), "gw-core-01.corp.test", ops, "IT", "critical", "PAN-OS 11.1", "Frankfurt, rack A1"},
		{addr("10.20.0.10"), "dc-01.corp.test", ops, "IT", "critical", "Windows Server 2022", "Frankfurt, rack A2"},
		{addr("10.20.0.53"), "dns-01.corp.test", ops, "IT", "critical", "Debian 12", "Frankfurt, rack A2"},
		{addr("10.20.10.25"), "mail-01.corp.test", ops, "IT", "high", "Debian 12", "Frankfurt, rack A3"},
		{addr("10.20.10.80"), "intranet.corp.test", ops, "IT", "medium", "Debian 12", "Frankfurt, rack A3"},
	}
}

func flows() []Flow {
	return []Flow{
		// The alarm's own connection, and beacons to the same address before it.
		tcp("10.20.30.40", 49822, "203.0.113.66", 443, 48_211, 9_120_344, 20*time.Second),
		tcp("10.20.30.40", 49790, "203.0.113.66", 443, 1_204, 2_210, 6*time.Minute),
		tcp("10.20.30.40", 49761, "203.0.113.66", 443, 1_204, 2_198, 11*time.Minute),
		// What else the workstation talked to in the last half hour.
		tcp("10.20.30.40", 49801, "198.51.100.23", 8443, 3_310, 88_120, 4*time.Minute),
		tcp("10.20.30.40", 49755, "198.51.100.23", 8443, 2_908, 61_004, 13*time.Minute),
		tcp("10.20.30.40", 49744, "198.51.100.77", 443, 9_410, 14_022, 16*time.Minute),
		tcp("10.20.30.40", 49810, "192.0.2.10", 443, 812_330, 9_118, 3*time.Minute),
		tcp("10.20.30.40", 49733, "192.0.2.10", 443, 410_022, 7_440, 19*time.Minute),
		tcp("10.20.30.40", 49712, "192.0.2.44", 443, 22_117, 3_040, 22*time.Minute),
		tcp("10.20.30.40", 49705, "203.0.113.9", 443, 90_112, 5_512, 25*time.Minute),
		udp("10.20.30.40", 53311, "10.20.0.53", 53, 212, 74, 2*time.Minute),
		udp("10.20.30.40", 53298, "10.20.0.53", 53, 198, 71, 14*time.Minute),
		tcp("10.20.30.40", 49780, "10.20.0.10", 445, 14_220, 8_110, 9*time.Minute),
		tcp("10.20.30.40", 49699, "10.20.10.80", 443, 240_118, 11_870, 27*time.Minute),
		// Outside of the half-hour window.
		tcp("10.20.30.40", 49502, "198.51.100.200", 443, 55_020, 6_118, 3*time.Hour),
		tcp("10.20.30.40", 49480, "198.51.100.23", 8443, 2_900, 30_551, 5*time.Hour),
		// Who else talked to the malicious addresses within a day, and one before that.
		tcp("10.20.30.41", 51120, "198.51.100.23", 8443, 3_022, 40_200, 55*time.Minute),
		tcp("10.20.30.41", 51098, "198.51.100.77", 443, 1_830, 2_406, 7*time.Hour),
		tcp("10.20.31.7", 40122, "198.51.100.77", 443, 2_010, 19_877, 11*time.Hour),
		tcp("10.20.40.99", 60411, "198.51.100.23", 8443, 2_744, 9_020, 20*time.Hour),
		tcp("10.20.50.5", 50022, "198.51.100.23", 8443, 2_744, 9_020, 26*time.Hour),
		// Ordinary traffic of others.
		tcp("10.20.30.41", 51201, "192.0.2.10", 443, 120_400, 4_410, 8*time.Minute),
		tcp("10.20.31.7", 40980, "203.0.113.9", 443, 7_711_902, 31_006, 12*time.Minute),
		udp("10.20.50.5", 50510, "10.20.0.53", 53, 180, 66, 5*time.Minute),
	}
}

func networks() []Network {
	return []Network{
		{prefix("192.0.2.0/24"), "NET-192-0-2-0-1", "EXAMPLE-CDN", "Example Content Network Inc.", "US", "abuse@cdn.example.org",
			"ARIN", 64496, day(2009, 6, 29), day(2024, 11, 2)},
		{prefix("198.51.100.0/24"), "NET-198-51-100-0-1", "BULLETPROOF-HOSTING", "Example Bulletproof Hosting Ltd.", "RU",
			"abuse@hosting.example.net", "RIPE NCC", 64501, day(2021, 2, 14), day(2025, 8, 30)},
		{prefix("203.0.113.0/24"), "NET-203-0-113-0-1", "EXAMPLE-VPS", "Example Virtual Servers B.V.", "NL", "abuse@vps.example.com",
			"RIPE NCC", 64502, day(2017, 9, 5), day(2025, 12, 19)},
	}
}

func hosts() []Host {
	ams := Host{Country: "Netherlands", CountryCode: "NL", State: "North Holland", City: "Amsterdam", Latitude: 52.374, Longitude: 4.8897}
	spb := Host{Country: "Russia", CountryCode: "RU", State: "St.-Petersburg", City: "Saint Petersburg", Latitude: 59.9386, Longitude: 30.3141}
	chi := Host{Country: "United States", CountryCode: "US", State: "Illinois", City: "Chicago", Latitude: 41.85, Longitude: -87.65}
	at := func(place Host, ip, reverse string, v Verdict) Host {
		place.IP, place.Reverse, place.Verdict = addr(ip), reverse, v
		return place
	}
	return []Host{
		at(ams, "203.0.113.66", "static-66.vps.example.com", Verdict{21, 2, 45, 26}),
		at(ams, "203.0.113.9", "mirror-9.vps.example.com", Verdict{0, 0, 67, 27}),
		at(spb, "198.51.100.23", "", Verdict{17, 1, 48, 28}),
		at(spb, "198.51.100.77", "host-77.hosting.example.net", Verdict{9, 3, 53, 29}),
		at(spb, "198.51.100.200", "host-200.hosting.example.net", Verdict{5, 1, 58, 30}),
		at(chi, "192.0.2.10", "edge-10.cdn.example.org", Verdict{0, 0, 69, 25}),
		at(chi, "192.0.2.44", "edge-44.cdn.example.org", Verdict{1, 0, 66, 27}),
	}
}

func tcp(src string, sport uint16, dst string, dport uint16, in, out int64, ago time.Duration) Flow {
	return Flow{addr(src), sport, addr(dst), dport, "tcp", in, out, ago}
}

func udp(src string, sport uint16, dst string, dport uint16, in, out int64, ago time.Duration) Flow {
	return Flow{addr(src), sport, addr(dst), dport, "udp", in, out, ago}
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func day(y int, m time.Month, d int) time.Time {
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
