package alarm

import (
	"strconv"
	"strings"
	"time"
)

// ParseTime understands the times that devices write: the nine forms of the CEF guide (milliseconds since 1970, or
// "MMM dd [yyyy] HH:mm:ss[.SSS] [zzz]"), seconds since 1970, and RFC 3339 with "T" or a space. A time without a year is the
// latest one that is not more than a day ahead of now; a time without a zone is UTC. odd is empty, or says what had to be guessed.
func ParseTime(text string, now time.Time) (t time.Time, odd string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > 64 {
		return time.Time{}, "", false
	}
	if t, ok := parseEpoch(text); ok {
		return t, "", true
	}
	if text[0] >= '0' && text[0] <= '9' {
		return parseISO(text)
	}
	return parseMonthFirst(text, now)
}

// parseEpoch reads digits: milliseconds, or seconds when there are ten digits or fewer (with a fraction or without).
func parseEpoch(text string) (time.Time, bool) {
	whole, fraction, dotted := strings.Cut(text, ".")
	n, ok := digits(whole, 0, 1<<53)
	if !ok || len(whole) < 9 {
		return time.Time{}, false
	}
	switch {
	case dotted:
		ns, ok := nanoseconds(fraction)
		return time.Unix(int64(n), int64(ns)).UTC(), ok && len(whole) <= 10
	case len(whole) <= 10:
		return time.Unix(int64(n), 0).UTC(), true
	case len(whole) <= 13:
		return time.UnixMilli(int64(n)).UTC(), true
	}
	return time.Time{}, false
}

// parseISO reads RFC 3339 and its relatives: a space for the T, no zone, a zone without colon.
func parseISO(text string) (time.Time, string, bool) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return inRange(t)
	}
	for _, layout := range []string{
		"2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999 Z0700",
		"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006/01/02 15:04:05.999999999",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return inRange(t)
		}
	}
	return time.Time{}, "", false
}

// inRange refuses years that RFC 3339 cannot write.
func inRange(t time.Time) (time.Time, string, bool) {
	t = t.UTC()
	return t, "", t.Year() >= 0 && t.Year() <= 9999
}

// parseMonthFirst reads "MMM dd [yyyy] HH:mm:ss[.SSS] [zone]".
func parseMonthFirst(text string, now time.Time) (time.Time, string, bool) {
	var parts [5]string
	n := 0
	for rest := text; rest != ""; n++ {
		if n == len(parts) {
			return time.Time{}, "", false
		}
		parts[n], rest, _ = strings.Cut(rest, " ")
		rest = strings.TrimLeft(rest, " ")
	}
	if n < 3 {
		return time.Time{}, "", false
	}
	month, ok := monthOf(parts[0])
	day, dayOK := digits(strings.TrimSuffix(parts[1], ","), 1, 31)
	if !ok || !dayOK {
		return time.Time{}, "", false
	}
	year, rest := -1, parts[2:n]
	if y, ok := digits(rest[0], 1900, 9999); ok && len(rest) > 1 {
		year, rest = y, rest[1:]
	}
	hour, minute, second, ns, ok := clock(rest[0])
	if !ok || len(rest) > 2 {
		return time.Time{}, "", false
	}
	zone, odd := time.UTC, ""
	if len(rest) == 2 {
		zone, odd = zoneOf(rest[1])
	}
	at := func(y int) (time.Time, bool) {
		t := time.Date(y, month, day, hour, minute, second, ns, zone)
		return t.UTC(), t.Day() == day
	}
	if year >= 0 {
		t, ok := at(year)
		return t, odd, ok
	}
	for y := now.UTC().Year() + 1; y > now.UTC().Year()-9; y-- { // nine years hold a 29 February
		if t, ok := at(y); ok && t.Before(now.Add(24*time.Hour)) {
			return t, odd, true
		}
	}
	return time.Time{}, "", false
}

// clock reads "HH:mm:ss" with an optional fraction.
func clock(text string) (hour, minute, second, ns int, ok bool) {
	if len(text) < 8 || text[2] != ':' || text[5] != ':' {
		return 0, 0, 0, 0, false
	}
	hour, okH := digits(text[:2], 0, 23)
	minute, okM := digits(text[3:5], 0, 59)
	second, okS := digits(text[6:8], 0, 60)
	if len(text) > 8 {
		if text[8] != '.' && text[8] != ',' {
			return 0, 0, 0, 0, false
		}
		if ns, ok = nanoseconds(text[9:]); !ok {
			return 0, 0, 0, 0, false
		}
	}
	return hour, minute, second, ns, okH && okM && okS
}

// nanoseconds reads the digits behind a decimal point.
func nanoseconds(text string) (int, bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	n, ok := digits(text, 0, 999_999_999)
	for i := len(text); i < 9; i++ {
		n *= 10
	}
	return n, ok
}

// digits reads a decimal number of nothing but digits, within low and high.
func digits(text string, low, high int) (int, bool) {
	if text == "" || len(text) > 16 {
		return 0, false
	}
	n := 0
	for i := 0; i < len(text); i++ {
		c := text[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int(c)
	}
	return n, n >= low && n <= high
}

func monthOf(name string) (time.Month, bool) {
	if len(name) < 3 || len(name) > 9 {
		return 0, false
	}
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	a, b, c := name[0]|0x20, name[1]|0x20, name[2]|0x20
	for i := 0; i < len(names); i += 3 {
		if names[i] == a && names[i+1] == b && names[i+2] == c {
			month := time.Month(i/3 + 1)
			return month, len(name) == 3 || strings.EqualFold(name, month.String())
		}
	}
	return 0, false
}

// zoneOf reads an offset or one of the abbreviations that mean one thing only. What it does not know is taken as UTC, and odd says
// so.
func zoneOf(name string) (zone *time.Location, odd string) {
	if hours, ok := zoneHours(name); ok {
		return time.FixedZone(name, hours*3600), ""
	}
	offset := strings.TrimPrefix(strings.TrimPrefix(name, "GMT"), "UTC")
	for _, layout := range []string{"-07:00", "-0700", "-07"} {
		if t, err := time.Parse(layout, offset); err == nil {
			return t.Location(), ""
		}
	}
	return time.UTC, "time zone " + strconv.Quote(clip(name)) + " is not known: taken as UTC"
}

func zoneHours(name string) (int, bool) {
	switch name {
	case "Z", "UTC", "GMT", "WET":
		return 0, true
	case "CET", "MEZ", "WEST":
		return 1, true
	case "CEST", "MESZ", "EET":
		return 2, true
	case "EEST", "MSK":
		return 3, true
	case "EST", "CDT":
		return -5, true
	case "EDT":
		return -4, true
	case "CST", "MDT":
		return -6, true
	case "MST", "PDT":
		return -7, true
	case "PST":
		return -8, true
	case "SGT", "HKT":
		return 8, true
	case "JST", "KST":
		return 9, true
	case "AEST":
		return 10, true
	case "AEDT":
		return 11, true
	case "NZST":
		return 12, true
	case "NZDT":
		return 13, true
	}
	return 0, false
}
