package world

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SeedAlarm is the story's alarm as LogPoint forwards it: see World.SeedAlarm.
func SeedAlarm(now time.Time) string { return Default().SeedAlarm(now) }

// SeedAlarm is the alarm as a LogPoint forwards it over syslog: one line, without its line end, with an RFC 3164 header (whose
// time is that of now's location, as such a header has no zone) and a CEF version 0 event. in and out are bytes, rt is in
// milliseconds since 1970; externalId differs from second to second.
func (w *World) SeedAlarm(now time.Time) string {
	a := w.Alarm
	var user, host string
	if asset, ok := w.Asset(a.Source); ok {
		host = asset.Hostname
		user, _, _ = strings.Cut(asset.Owner, "@")
	}
	query := fmt.Sprintf(`source_address="%s" destination_address="%s" sent_datasize>1000000`, a.Source, a.Destination)
	extension := [][2]string{
		{"rt", strconv.FormatInt(now.UnixMilli(), 10)},
		{"externalId", fmt.Sprintf("lp-%d", now.Unix())},
		{"cat", "Command and Control"},
		{"src", a.Source.String()}, {"spt", strconv.Itoa(int(a.SourcePort))},
		{"shost", host}, {"suser", user},
		{"dst", a.Destination.String()}, {"dpt", strconv.Itoa(int(a.DestinationPort))},
		{"proto", "TCP"}, {"app", "ssl"}, {"act", "allowed"}, {"deviceDirection", "1"},
		{"in", strconv.FormatInt(a.BytesIn, 10)}, {"out", strconv.FormatInt(a.BytesOut, 10)},
		{"cs1Label", "RuleName"}, {"cs1", "Malicious outbound connection"},
		{"cs2Label", "Query"}, {"cs2", query},
		{"cs3Label", "AttackTechnique"}, {"cs3", "T1071.001"},
		{"cn1Label", "RowsCount"}, {"cn1", "3"},
		{"dvchost", "logpoint.corp.test"}, {"dvc", "10.20.10.14"},
		{"msg", fmt.Sprintf("%s sent %d bytes to %s | risk=high", a.Source, a.BytesOut, a.Destination)},
	}
	var line strings.Builder
	// 129 is facility local0, severity alert.
	fmt.Fprintf(&line, "<129>%s logpoint.corp.test logpoint: ", now.Format("Jan _2 15:04:05"))
	line.WriteString("CEF:0|LogPoint|LogPoint|7.4.0|LP-MOC-1071|Malicious outbound connection|8|")
	escape := strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
	for i, kv := range extension {
		if i > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(kv[0] + "=" + escape.Replace(kv[1]))
	}
	return line.String()
}
