package main

import (
	"fmt"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/intake"
	"github.com/riposte-soar/riposte/server/intake/cef"
)

// parser measures the decoder of CEF alone, in this process, on one core: a message of 262 bytes with typed fields.
func parser() error {
	const text = `CEF:0|LogPoint|LogPoint|7.4|4711|Malicious outbound|8|src=10.0.0.5 spt=49822 dst=203.0.113.9 dpt=443 in=1200 out=98304 rt=1795255080000 proto=tcp act=allowed cs1Label=Rule cs1=outbound suser=jdoe msg=talks to an unknown address in the net`
	const header = "<134>Nov 21 09:58:00 siem.corp.test "
	message, in, now := []byte(header + text)[:262], alarm.Intake{Source: alarm.SyslogTCP}, time.Now()
	for _, way := range []struct {
		name, wanted string
		do           func() error
	}{
		{"CEF parser with typed fields, 262 bytes, one core", "; wanted: at least 300000/s", func() error { return cef.Parse(text, alarm.NewBuilder(now, in, text)) }},
		{"the same with syslog header, identity and checks", "", func() error { intake.Decode(now, in, message); return nil }},
	} {
		best := time.Duration(1 << 62) // of several rounds: what others do on the machine only adds
		const rounds, each = 50, 5_000
		for range rounds {
			began := time.Now()
			for range each {
				if err := way.do(); err != nil {
					return err
				}
			}
			best = min(best, time.Since(began))
		}
		row(way.name, fmt.Sprintf("%.0f/s", each/best.Seconds()), fmt.Sprintf("best of %d rounds%s", rounds, way.wanted))
	}
	return nil
}
