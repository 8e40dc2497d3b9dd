package script_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/testing/lab"
	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/mssql"
	smtpsink "github.com/riposte-soar/riposte/testing/lab/smtp"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// moment is when the server is killed: as soon as its incident has so many facts, or a vendor has seen what arm made it stall at.
type moment struct {
	name    string
	facts   uint64
	arm     func(*lab.Lab) error
	reached func(context.Context, *lab.Lab) error
}

// vendor is a simulator that speaks HTTP.
type vendor func(*lab.Lab) *httpsim.Server

func firewall(l *lab.Lab) *httpsim.Server   { return l.PANOS.Server }
func reputation(l *lab.Lab) *httpsim.Server { return l.VirusTotal.Server }
func logs(l *lab.Lab) *httpsim.Server       { return l.LogPoint.Server }

// stalled is the moment at which a vendor has taken one call and does not answer; with apply the call has had its effect.
func stalled(name string, v vendor, f httpsim.Fault) moment {
	f.Hang, f.Times = true, 1
	return moment{name: name,
		arm:     func(l *lab.Lab) error { return v(l).Fail(f) },
		reached: func(ctx context.Context, l *lab.Lab) error { return hung(ctx, v(l)) }}
}

// moments are spread over the whole incident, which has some hundred facts.
func moments() []moment {
	list := []moment{
		stalled("a block was sent", firewall, httpsim.Fault{Contains: `cmd=<uid-message`}),
		stalled("a block was done", firewall, httpsim.Fault{Contains: `cmd=<uid-message`, Apply: true}),
		stalled("a block is verified", firewall, httpsim.Fault{Contains: "cmd=<show"}),
		stalled("the second block was done", firewall, httpsim.Fault{Contains: `ip="198.51.100.77"`, Apply: true}),
		stalled("a search was sent", logs, httpsim.Fault{Contains: "HOMENET"}),
		stalled("a reputation was asked for", reputation, httpsim.Fault{Match: "/api/v3/ip_addresses/198.51.100.23"}),
		stalled("the second search began", logs, httpsim.Fault{Contains: "destination_address in", Apply: true}),
		{name: "the inventory was asked",
			arm:     func(l *lab.Lab) error { return l.MSSQL.Fail(mssql.Fault{Kind: mssql.Hang, Times: 1}) },
			reached: func(ctx context.Context, l *lab.Lab) error { return l.MSSQL.Wait(ctx, 1) }},
		{name: "a mail was taken and the answer lost",
			arm: func(l *lab.Lab) error {
				return l.SMTP.Fail(smtpsink.Fault{Kind: smtpsink.AcceptDrop, Match: "bob.meyer", Times: 1})
			},
			reached: func(ctx context.Context, l *lab.Lab) error { return l.SMTP.Wait(ctx, 1) }},
	}
	for _, n := range []uint64{1, 7, 14, 22, 33, 45, 57, 68, 80, 88, 96} {
		list = append(list, moment{name: fmt.Sprintf("%d facts", n), facts: n})
	}
	return list
}

// TestKilled kills the server in the middle of the demo's incident and starts it again: whatever the moment, the incident ends as if nothing had
// been, and no vendor sees an effect twice, but for repetitions that it can tell.
func TestKilled(t *testing.T) {
	for _, m := range moments() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			s.begin(t, m)
			s.die(t, m)
			s.end(t, 1)
		})
	}
}

// TestKilledOften kills the server again and again within one incident.
func TestKilledOften(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	facts := []uint64{3, 20, 35, 50, 65, 80, 95}
	s.begin(t, moment{})
	for _, n := range facts {
		s.die(t, moment{facts: n})
	}
	s.end(t, len(facts))
}

// story is the demo's incident on its way.
type story struct {
	scene
	dir string
}

func newStory(t *testing.T) *story {
	t.Helper()
	l, err := lab.Start()
	if err != nil {
		t.Fatal(err)
	}
	s := &story{scene: scene{lab: l}, dir: t.TempDir()}
	t.Cleanup(func() {
		if s.server != nil {
			s.server.kill()
			if t.Failed() {
				t.Logf("the server said:\n%s", &s.server.output)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := overlay(filepath.Join(s.dir, "content"), l); err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts the server, or starts it again.
func (s *story) start(t *testing.T) {
	t.Helper()
	one, err := serve(t.Context(), s.dir, os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	s.server = one
}

// begin sends the alarm, with the vendors prepared for the moment.
func (s *story) begin(t *testing.T, m moment) {
	t.Helper()
	s.start(t)
	if m.arm != nil {
		if err := m.arm(s.lab); err != nil {
			t.Fatal(err)
		}
	}
	if err := sendTCP(s.server.tcp, []string{world.SeedAlarm(time.Now())}); err != nil {
		t.Fatal(err)
	}
}

// die waits for the moment, kills the server and starts it again.
func (s *story) die(t *testing.T, m moment) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reached := m.reached
	if reached == nil {
		reached = func(ctx context.Context, _ *lab.Lab) error {
			return s.server.follow(ctx, "INC-000001", func(e *api.Entry) error {
				if e.Seq >= m.facts {
					return errEnough
				}
				return nil
			})
		}
	}
	if err := reached(ctx, s.lab); err != nil {
		t.Fatalf("the moment did not come: %v", err)
	}
	s.server.kill()
	s.start(t)
}

// end waits for the end of the incident, and checks it and the vendors.
func (s *story) end(t *testing.T, kills int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.server.runsEnded(ctx, "INC-000001", 1); err != nil {
		t.Fatal(err)
	}
	in, err := s.server.incident(ctx, "INC-000001")
	if err != nil {
		t.Fatal(err)
	}
	checkIncident(t, in)
	if err := s.checkJournal(ctx); err != nil {
		t.Error(err)
	}
	s.checkBlocks(t, kills)
	s.checkMails(t, kills)
	if err := s.server.stop(); err != nil {
		t.Error(err)
	}
	s.server = nil
}

func checkIncident(t *testing.T, in *incident.Incident) {
	t.Helper()
	if len(in.Runs) != 1 || in.Runs[0].Status != incident.Succeeded || in.Joined != 1 {
		t.Errorf("%d alarms, runs %+v", in.Joined, in.Runs)
	}
	const outputs = `{"blocked":["203.0.113.66","198.51.100.23","198.51.100.77"],"hosts":["10.20.30.41","10.20.31.7","10.20.40.99"]}`
	if got := string(in.Runs[0].Outputs); got != outputs {
		t.Errorf("the run gave %s", got)
	}
	targets := []string{}
	for _, c := range in.Containments {
		targets = append(targets, c.Targets...)
		if c.State != incident.Verified {
			t.Errorf("%s %v is %s", c.ID, c.Targets, c.State)
		}
	}
	if err := same("containments", targets, []string{"198.51.100.23", "198.51.100.77", "203.0.113.66"}); err != nil {
		t.Error(err)
	}
}

// checkJournal finds actions that began or ended twice.
func (s *story) checkJournal(ctx context.Context) error {
	var list []api.Entry
	if _, err := s.server.call(ctx, "GET", "/api/v1/incidents/INC-000001/timeline", nil, &list); err != nil {
		return err
	}
	seen := map[string]bool{}
	var errs []error
	for _, e := range list {
		if e.Kind != incident.FactActStarted && e.Kind != incident.FactActFinished {
			continue
		}
		d, err := journal.Decode[struct {
			Invocation string `json:"invocation"`
		}](&e.Fact)
		if err != nil {
			return err
		}
		if key := string(e.Kind) + " " + d.Invocation; seen[key] {
			errs = append(errs, fmt.Errorf("twice on record: %s", key))
		} else {
			seen[key] = true
		}
	}
	return errors.Join(errs...)
}

// checkBlocks: the right addresses are blocked, once each. A block that was under way at a kill may have been sent again, and, where the firewall
// had it already, renewed.
func (s *story) checkBlocks(t *testing.T, kills int) {
	t.Helper()
	if err := same("blocked", s.blocked(), []string{"198.51.100.23", "198.51.100.77", "203.0.113.66"}); err != nil {
		t.Error(err)
	}
	repeated := 0
	for _, ip := range s.blocked() {
		repeated += s.lab.PANOS.Count(ip).Register - 1
	}
	if repeated > 4*kills { // two blocks are at work at once, and each may be sent again and renewed
		t.Errorf("%d blocks were sent again after %d kills", repeated, kills)
	}
	t.Logf("%d blocks were sent again", repeated)
}

// checkMails: one mail for each person. One that was under way at a kill may have been sent again, with the same Message-ID.
func (s *story) checkMails(t *testing.T, kills int) {
	t.Helper()
	ids, again := map[string]string{}, 0 // recipient to Message-ID
	for _, m := range s.lab.SMTP.Messages() {
		if !m.Accepted {
			continue
		}
		to := m.RcptTo[0]
		switch id, known := ids[to]; {
		case m.MessageID == "" || len(m.RcptTo) != 1:
			t.Errorf("mail to %v with Message-ID %q", m.RcptTo, m.MessageID)
		case known && id != m.MessageID:
			t.Errorf("%s got two mails: %s and %s", to, id, m.MessageID)
		case known:
			again++
		}
		ids[to] = m.MessageID
	}
	got := []string{}
	for to := range ids {
		got = append(got, to)
	}
	if err := same("mailed", got, []string{"bob.meyer@corp.test", "carol.diaz@corp.test", "security-managers@corp.test"}); err != nil {
		t.Error(err)
	}
	if again > 3*kills { // three mails are at work at once
		t.Errorf("%d mails were sent again after %d kills", again, kills)
	}
	t.Logf("%d mails were sent again", again)
}

// incident reads the state of an incident.
func (s *server) incident(ctx context.Context, id string) (*incident.Incident, error) {
	in := &incident.Incident{}
	_, err := s.call(ctx, "GET", "/api/v1/incidents/"+id, nil, in)
	return in, err
}
