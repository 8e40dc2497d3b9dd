package script_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/testing/lab/sink"
)

// toldContent is content whose rule wants every alarm, opens an incident of its own for it, and tells it to a receiver.
func toldContent(receiver, limits string) map[string]string {
	return map[string]string{
		"riposte.yaml":         "listen: 127.0.0.1:0\nsyslog: {udp: 127.0.0.1:0, tcp: 127.0.0.1:0}\nnetwork: {allow: [127.0.0.0/8]}\nlimits: " + limits + "\n",
		"connectors/hook.yaml": "connector: hook\nplugin: webhook\nsettings: {url: \"" + receiver + "\"}\ngrant: [target]\n",
		"rules/all.yaml":       "rule: all\nwhen: \"true\"\ntemplate: all\n",
		"templates/all.yaml":   "template: all\ntype: test\ntitle: \"${{ event.code }}\"\nseverity: low\nrunbook: tell\nautorun: true\n",
		"runbooks/tell.yaml": `runbook: tell
version: 1
steps:
  - id: tell
    uses: webhook/post@1
    with:
      body:
        uid: "${{ alarm.uid }}"
        id: "${{ alarm.event.code }}"
        ip: "${{ alarm.source.ip }}"
        port: "${{ alarm.source.port }}"
        user: "${{ alarm.source.user.name }}"
outputs:
  id: "${{ alarm.event.code }}"
`,
	}
}

// told is what the receiver gets: all of it but the uid follows from the number of the alarm.
type told struct {
	UID  string `json:"uid,omitempty"`
	ID   string `json:"id"`
	IP   string `json:"ip"`
	Port int    `json:"port"`
	User string `json:"user"`
}

func numbered(n int) told {
	return told{ID: fmt.Sprintf("alarm-%d", n), IP: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), Port: 1024 + n%60000,
		User: fmt.Sprintf("user %d, \"quoted\" = %d", n, n*7)}
}

// number gives the number of an alarm back, if all of it belongs together.
func (a told) number() (n int, ok bool) {
	_, err := fmt.Sscanf(a.ID, "alarm-%d", &n)
	a.UID = ""
	return n, err == nil && a == numbered(n)
}

func (a told) cef() string {
	escape := strings.NewReplacer(`\`, `\\`, `=`, `\=`).Replace
	return fmt.Sprintf("<34>Oct 11 22:14:15 box CEF:0|Lab|Loss|1|1|one of many|5|externalId=%s src=%s spt=%d suser=%s", a.ID, a.IP, a.Port, escape(a.User))
}

func (a told) json() string {
	raw, err := json.Marshal(map[string]any{"event.code": a.ID, "source": map[string]any{"ip": a.IP, "port": a.Port, "user": map[string]string{"name": a.User}}})
	if err != nil {
		return err.Error() // strings and numbers always encode
	}
	return string(raw)
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

// TestKilledWhileTakingAlarms kills the server three times while eight senders give it 2,000 alarms, most of which wait on disk for their turn.
// Every alarm that it acknowledged is there afterwards, with an incident of its own whose run told it to the receiver: once, or, if a kill came
// in between, again under the same key.
func TestKilledWhileTakingAlarms(t *testing.T) {
	t.Parallel()
	const senders, each, kills = 8, 250, 3
	receiver, err := sink.Start(sink.Options{Keep: 4 * senders * each})
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	s := &story{dir: t.TempDir()}
	writeFiles(t, filepath.Join(s.dir, "content"), toldContent(receiver.URL(), "{runs: 8, actions: 4}"))
	s.start(t)
	defer func() { s.server.kill() }()

	f := &flood{senders: senders, each: each, next: make([]int, senders), acked: map[string]string{}}
	for k := range kills {
		f.send(t, s.server, (k+1)*senders*each/(kills+1))
		s.start(t)
	}
	f.send(t, s.server, senders*each)
	if len(f.acked) != senders*each {
		t.Fatalf("%d alarms were acknowledged, want %d", len(f.acked), senders*each)
	}
	s.checkAlarms(t, f.acked)
	again := checkTold(t, receiver.Requests(), f.acked)
	t.Logf("%d alarms were told again", again)
	if most := kills * 8; again > most { // so many runs are at work at once
		t.Errorf("%d alarms were told again after %d kills, at most %d can have been under way", again, kills, most)
	}
}

// flood is many alarms on their way, from several senders.
type flood struct {
	senders, each int
	next          []int // by sender: the first alarm that it has no answer for
	mu            sync.Mutex
	acked         map[string]string // uid to the sender's id
}

// batch is the number of alarms in a request.
const batch = 10

// send lets the senders go on until goal alarms are acknowledged in all; then, unless these are all, it kills the server.
func (f *flood) send(t *testing.T, s *server, goal int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wait sync.WaitGroup
	var once sync.Once
	last := goal == f.senders*f.each
	for sender := range f.senders {
		wait.Go(func() {
			for f.next[sender] < f.each {
				enough, err := f.one(ctx, s, sender, goal)
				if err != nil {
					if last {
						t.Error(err)
					}
					return // the server is gone: what it did not acknowledge is sent again
				}
				if enough && !last {
					once.Do(s.kill)
				}
			}
		})
	}
	wait.Wait()
}

// one sends a request and notes what was acknowledged.
func (f *flood) one(ctx context.Context, s *server, sender, goal int) (enough bool, err error) {
	var ids, lines []string
	for i := range batch {
		a := numbered(sender*f.each + f.next[sender] + i)
		ids, lines = append(ids, a.ID), append(lines, a.json())
	}
	var done api.Accepted
	if _, err := s.call(ctx, "POST", "/api/v1/alarms", []byte(strings.Join(lines, "\n")), &done); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, uid := range done.UIDs {
		f.acked[uid] = ids[i]
	}
	f.next[sender] += batch
	return len(f.acked) >= goal, nil
}

// checkTold finds acknowledged alarms that were not told, keys that stand for two bodies, and payloads that were mixed up. It counts what was told
// again under the same key.
func checkTold(t *testing.T, requests []sink.Request, acked map[string]string) (again int) {
	t.Helper()
	keys, bodies := map[string]string{}, map[string]string{} // uid to key, key to body
	for _, r := range requests {
		var a told
		if err := json.Unmarshal([]byte(r.Body), &a); err != nil {
			t.Fatalf("%s: %v", r.Body, err)
		}
		id, isAcked := acked[a.UID]
		_, whole := a.number()
		switch known := bodies[r.Key]; {
		case r.Key == "" || !whole || isAcked && id != a.ID:
			t.Errorf("mixed up: %s under key %q", r.Body, r.Key)
		case known != "" && known != r.Body:
			t.Errorf("the key %s stands for %s and %s", r.Key, known, r.Body)
		case keys[a.UID] != "" && keys[a.UID] != r.Key:
			t.Errorf("%s was told under two keys", a.UID)
		case known != "":
			again++
		}
		keys[a.UID], bodies[r.Key] = r.Key, r.Body
	}
	for uid, id := range acked {
		if keys[uid] == "" {
			t.Errorf("%s (%s) was not told", uid, id)
		}
	}
	return again
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
