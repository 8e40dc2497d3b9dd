package script_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/incident"
)

// quiet is content whose rule wants every alarm, and opens an incident with a run that reaches nobody.
var quiet = map[string]string{
	"rules/all.yaml":     "rule: all\nwhen: \"true\"\ntemplate: all\n",
	"templates/all.yaml": "template: all\ntype: test\ntitle: \"${{ event.code }}\"\nseverity: low\nrunbook: nothing\nautorun: true\n",
	"runbooks/nothing.yaml": "runbook: nothing\nversion: 1\nsteps:\n  - {id: value, set: \"${{ alarm.event.code }}\"}\n" +
		"outputs:\n  id: \"${{ steps.value }}\"\n",
	"riposte.yaml": "listen: 127.0.0.1:0\nsyslog: {udp: 127.0.0.1:0, tcp: 127.0.0.1:0}\nnetwork: {allow: [127.0.0.0/8]}\n",
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledWhileTakingAlarms kills the server three times while eight senders give it 2,000 alarms. Every alarm that it acknowledged is there
// afterwards, with an incident of its own whose run ended.
func TestKilledWhileTakingAlarms(t *testing.T) {
	t.Parallel()
	const senders, each, batch = 8, 250, 10
	s := &story{dir: t.TempDir()}
	writeFiles(t, filepath.Join(s.dir, "content"), quiet)
	s.start(t)
	defer func() { s.server.kill() }()

	acked := map[string]string{} // uid to the sender's id
	next := make([]int, senders) // the first alarm that a sender has no answer for
	for _, goal := range []int{500, 1000, 1500, senders * each} {
		s.send(t, next, each, batch, goal, acked)
		if goal == senders*each {
			break
		}
		s.start(t)
	}
	if len(acked) != senders*each {
		t.Fatalf("%d alarms were acknowledged, want %d", len(acked), senders*each)
	}
	s.checkAlarms(t, acked)
}

// send lets the senders go on until goal alarms are acknowledged in all; then, unless that is the end, it kills the server.
func (s *story) send(t *testing.T, next []int, each, batch, goal int, acked map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var (
		mu     sync.Mutex
		wait   sync.WaitGroup
		failed atomic.Int64
		once   sync.Once
	)
	for sender := range next {
		wait.Go(func() {
			for next[sender] < each {
				ids := make([]string, batch)
				var body []byte
				for i := range ids {
					ids[i] = fmt.Sprintf("s%d-%d", sender, next[sender]+i)
					body = fmt.Appendf(body, "{\"event.code\":%q}\n", ids[i])
				}
				var done api.Accepted
				if _, err := s.server.call(ctx, "POST", "/api/v1/alarms", body, &done); err != nil {
					failed.Add(1)
					return // the server is gone: what it did not acknowledge is sent again
				}
				mu.Lock()
				for i, uid := range done.UIDs {
					acked[uid] = ids[i]
				}
				enough := len(acked) >= goal
				mu.Unlock()
				next[sender] += batch
				if enough && goal < len(next)*each {
					once.Do(s.server.kill)
				}
			}
		})
	}
	wait.Wait()
	if goal == len(next)*each && failed.Load() > 0 {
		t.Errorf("%d senders had an error although the server lived", failed.Load())
	}
}

// checkAlarms looks up every acknowledged alarm and its incident. An alarm that was not acknowledged may be there too, at most once per kill and sender.
func (s *story) checkAlarms(t *testing.T, acked map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	records := s.alarms(ctx, t)
	if len(records) < len(acked) || len(records) > len(acked)+3*8*10 {
		t.Errorf("%d alarms are there, %d were acknowledged", len(records), len(acked))
	}
	t.Logf("%d alarms are there, %d were acknowledged", len(records), len(acked))
	// All of them have begun when the last has: alarms that wait on disk begin in their order.
	if err := s.server.runsEnded(ctx, fmt.Sprintf("INC-%06d", len(records)), 1); err != nil {
		t.Fatal(err)
	}
	records = s.alarms(ctx, t)
	opened := map[string]string{} // incident to uid
	for uid, id := range acked {
		r, ok := records[uid]
		switch {
		case !ok:
			t.Errorf("%s (%s) was acknowledged and is lost", uid, id)
			continue
		case r.State != engine.AlarmMatched || len(r.Incidents) != 1:
			t.Errorf("%s is %s, its incidents are %v", uid, r.State, r.Incidents)
			continue
		case opened[r.Incidents[0]] != "":
			t.Errorf("%s and %s have the same incident", uid, opened[r.Incidents[0]])
		}
		opened[r.Incidents[0]] = uid
		if err := s.server.runsEnded(ctx, r.Incidents[0], 1); err != nil {
			t.Fatal(err)
		}
		in, err := s.server.incident(ctx, r.Incidents[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(in.Runs) != 1 || in.Runs[0].Status != incident.Succeeded || in.Title != id || string(in.Runs[0].Outputs) != `{"id":"`+id+`"}` {
			t.Errorf("%s of alarm %s: %q, runs %+v", in.ID, id, in.Title, in.Runs)
		}
		if t.Failed() {
			return
		}
	}
}

// alarms reads all alarms, page by page.
func (s *story) alarms(ctx context.Context, t *testing.T) map[string]engine.AlarmRecord {
	t.Helper()
	all := map[string]engine.AlarmRecord{}
	before := ""
	for {
		var page []struct {
			engine.AlarmRecord
			Alarm json.RawMessage `json:"alarm"`
		}
		if _, err := s.server.call(ctx, "GET", "/api/v1/alarms?limit=1000&before="+url.QueryEscape(before), nil, &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			var a struct {
				UID string `json:"uid"`
			}
			if err := json.Unmarshal(r.Alarm, &a); err != nil {
				t.Fatal(err)
			}
			all[a.UID], before = r.AlarmRecord, a.UID
		}
		if len(page) < 1000 {
			return all
		}
	}
}
