package script_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/testing/lab/sink"
)

// alarms is how many alarms TestNothingIsLost sends.
var alarms = flag.Int("alarms", 5000, "alarms that TestNothingIsLost sends")

// TestNothingIsLost sends alarms over several connections at once through a runbook that tells each to a receiver: each arrives once, as it was,
// under a key of its own.
func TestNothingIsLost(t *testing.T) {
	receiver, err := sink.Start(sink.Options{Keep: 2 * *alarms})
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	s := &story{dir: t.TempDir()}
	files := map[string]string{
		"templates/all.yaml":   strings.ReplaceAll(quiet["templates/all.yaml"], "nothing", "tell"),
		"rules/all.yaml":       quiet["rules/all.yaml"],
		"riposte.yaml":         quiet["riposte.yaml"],
		"connectors/hook.yaml": "connector: hook\nplugin: webhook\nsettings: {url: \"" + receiver.URL() + "\"}\ngrant: [target]\n",
		"runbooks/tell.yaml": "runbook: tell\nversion: 1\nsteps:\n  - id: tell\n    uses: webhook/post@1\n" +
			"    with: {body: {id: \"${{ alarm.event.code }}\", ip: \"${{ alarm.source.ip }}\", port: \"${{ alarm.source.port }}\", user: \"${{ alarm.source.user.name }}\"}}\n",
	}
	writeFiles(t, filepath.Join(s.dir, "content"), files)
	s.start(t)
	defer func() { s.server.kill() }()

	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(*alarms)*5*time.Millisecond)
	defer cancel()
	began := time.Now()
	s.flood(ctx, t, *alarms)
	sent := time.Since(began)
	if err := receiver.Wait(ctx, *alarms); err != nil {
		t.Errorf("%d of %d alarms arrived: %v", receiver.Total(), *alarms, err)
	}
	took := time.Since(began)
	t.Logf("%d alarms sent in %s, told in %s: %.0f a second", *alarms, sent.Round(time.Millisecond), took.Round(time.Millisecond), float64(*alarms)/took.Seconds())
	if err := s.server.stop(); err != nil { // whatever still runs ends here, so that what came twice has come
		t.Error(err)
	}
	checkTold(t, receiver.Requests(), *alarms)
}

// told is what arrives: all of it follows from the number of the alarm.
type told struct {
	ID   string `json:"id"`
	IP   string `json:"ip"`
	Port int    `json:"port"`
	User string `json:"user"`
}

func number(n int) told {
	return told{fmt.Sprintf("alarm-%d", n), fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), 1024 + n%60000, fmt.Sprintf("user %d, \"quoted\" = %d", n, n*7)}
}

func (a told) cef() string {
	escape := strings.NewReplacer(`\`, `\\`, `=`, `\=`).Replace
	return fmt.Sprintf("<34>Oct 11 22:14:15 box CEF:0|Lab|Loss|1|1|one of many|5|externalId=%s src=%s spt=%d suser=%s", a.ID, a.IP, a.Port, escape(a.User))
}

func (a told) json() []byte {
	raw, err := json.Marshal(map[string]any{"event.code": a.ID, "source": map[string]any{"ip": a.IP, "port": a.Port, "user": map[string]string{"name": a.User}}})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return raw
}

// flood sends alarms 0 to n-1: half over four syslog connections, half over HTTP by four senders.
func (s *story) flood(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	const ways = 8
	var wait sync.WaitGroup
	for way := range ways {
		wait.Go(func() {
			if way%2 == 0 {
				var messages []string
				for i := way; i < n; i += ways {
					messages = append(messages, number(i).cef())
				}
				if err := sendTCP(s.server.tcp, messages); err != nil {
					t.Error(err)
				}
				return
			}
			for i := way; i < n; {
				var body []byte
				count := 0
				for ; i < n && count < 50; i += ways {
					body = append(append(body, number(i).json()...), '\n')
					count++
				}
				var done api.Accepted
				if _, err := s.server.call(ctx, "POST", "/api/v1/alarms", body, &done); err != nil || done.Accepted != count {
					t.Errorf("%d of %d alarms were accepted: %v", done.Accepted, count, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// checkTold finds what is missing, what came twice, what was mixed up.
func checkTold(t *testing.T, requests []sink.Request, n int) {
	t.Helper()
	seen, keys := make(map[string]bool, n), make(map[string]string, n)
	for _, r := range requests {
		var a told
		if err := json.Unmarshal([]byte(r.Body), &a); err != nil {
			t.Fatalf("%s: %v", r.Body, err)
		}
		var i int
		if _, err := fmt.Sscanf(a.ID, "alarm-%d", &i); err != nil || i < 0 || i >= n || a != number(i) {
			t.Errorf("mixed up: %+v", a)
		}
		if seen[a.ID] {
			t.Errorf("%s came twice", a.ID)
		}
		if other, known := keys[r.Key]; known || r.Key == "" {
			t.Errorf("the key %q of %s is that of %s", r.Key, a.ID, other)
		}
		seen[a.ID], keys[r.Key] = true, a.ID
	}
	if len(seen) != n {
		t.Errorf("%d of %d alarms were told", len(seen), n)
	}
}
