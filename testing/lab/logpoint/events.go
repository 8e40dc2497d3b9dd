package logpoint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/world"
)

// The firewall that sent the logs.
const (
	deviceIP   = "10.20.0.1"
	deviceName = "gw-core-01"
)

// event is one log, with fields named as LogPoint's taxonomy has them.
type event struct {
	at     time.Time
	fields map[string]string
}

// events makes the logs out of the world's flows, newest first.
func events(w *world.World, now time.Time) []event {
	var out []event
	for _, f := range w.Flows {
		at := now.Add(-f.Ago)
		out = append(out, event{at, map[string]string{
			"log_ts":              strconv.FormatInt(at.Unix(), 10),
			"device_ip":           deviceIP,
			"device_name":         deviceName,
			"norm_id":             "PaloAltoNetworkFirewall",
			"col_type":            "syslog",
			"repo_name":           "default",
			"source_address":      f.Source.String(),
			"source_port":         strconv.Itoa(int(f.SourcePort)),
			"destination_address": f.Destination.String(),
			"destination_port":    strconv.Itoa(int(f.DestinationPort)),
			"protocol":            f.Protocol,
			"action":              "allow",
			"received_datasize":   strconv.FormatInt(f.BytesIn, 10),
			"sent_datasize":       strconv.FormatInt(f.BytesOut, 10),
			"msg": fmt.Sprintf("%s %s TRAFFIC end allow %s %s:%d -> %s:%d received=%d sent=%d", at.UTC().Format("2006/01/02 15:04:05"),
				deviceName, f.Protocol, f.Source, f.SourcePort, f.Destination, f.DestinationPort, f.BytesIn, f.BytesOut),
		}})
	}
	slices.SortStableFunc(out, func(a, b event) int { return cmp.Compare(b.at.UnixNano(), a.at.UnixNano()) })
	return out
}

// lists are the named lists of the LogPoint: HOMENET.
func lists(w *world.World) map[string][]netip.Prefix {
	return map[string][]netip.Prefix{"HOMENET": w.HomeNet}
}

var lastN = regexp.MustCompile(`(?i)^last\s+(\d{1,6})\s+(second|minute|hour|day|week)s?$`)

// timeRange reads time_range: "Last 30 minutes", or [from, to] in seconds since 1970.
func timeRange(raw json.RawMessage, now time.Time) (from, to time.Time, err error) {
	expected := refuse(`Invalid time_range %s: expected "Last 30 minutes" or [from, to] in seconds since 1970`, raw)
	var words string
	if json.Unmarshal(raw, &words) == nil {
		m := lastN.FindStringSubmatch(strings.TrimSpace(words))
		if m == nil {
			return from, to, expected
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n == 0 {
			return from, to, expected
		}
		unit := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour,
			"week": 7 * 24 * time.Hour}[strings.ToLower(m[2])]
		return now.Add(-time.Duration(n) * unit), now, nil
	}
	var span []float64
	if json.Unmarshal(raw, &span) != nil || len(span) != 2 || span[0] > span[1] || span[0] < 0 || span[1] > 1e11 {
		return from, to, expected
	}
	return time.Unix(int64(span[0]), 0), time.Unix(int64(span[1]), 0), nil
}

// checkRepos takes no repos at all, the whole server, or its one repository, with or without the port.
func checkRepos(repos []string) error {
	for _, r := range repos {
		switch r {
		case Backend, Repo, "127.0.0.1", "127.0.0.1/default", "default":
		default:
			return refuse("Invalid repo: %q is none of the allowed repos", r)
		}
	}
	return nil
}
