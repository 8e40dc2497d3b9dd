package syslog_test

import (
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/server/intake/syslog"
)

// TestDroppedDatagramsAreCounted floods a server whose sink is full: what the kernel drops is known to the last datagram.
func TestDroppedDatagramsAreCounted(t *testing.T) {
	const flood = 3000
	s := newSink()
	s.set(true)
	server := listen(t, s, syslog.Options{UDP: "127.0.0.1:0"})
	conn := dial(t, server.UDPAddr())
	line := cefLine + " msg=" + strings.Repeat("x", 60_000)
	for range flood {
		send(t, conn, line)
	}
	s.set(false)
	// The kernel tells with each datagram how many it dropped before that one: ask, and wait for one to get through, until all are
	// accounted for.
	c := server.Counters()
	sent := int64(flood)
	for taken := 0; c.Messages.Load()+c.Dropped.Load() < sent && taken < flood; sent++ {
		send(t, conn, cefLine)
		taken = len(s.wait(t, taken+1))
	}
	if c.Dropped.Load() == 0 || c.Messages.Load()+c.Dropped.Load() != sent {
		t.Errorf("%d sent, %d taken, %d dropped", sent, c.Messages.Load(), c.Dropped.Load())
	}
}
