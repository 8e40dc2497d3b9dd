package plugins_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/sink"
	smtpsink "github.com/riposte-soar/riposte/testing/lab/smtp"
	"github.com/riposte-soar/riposte/testing/lab/whois"
)

// moment is where within a host call the process dies.
type moment string

const (
	begun     moment = "begun"     // its begin is on disk, nothing was done yet
	performed moment = "performed" // it was done, its end is not on disk
	answered  moment = "answered"  // its end is on disk
)

// mortal is a tape whose process dies at a moment of a call: it holds what would be on disk.
type mortal struct {
	tape.Memory
	call int
	at   moment
	dead bool
}

var errDead = errors.New("the process is dead")

func (m *mortal) Append(e tape.Entry, durable bool) error {
	if m.dead {
		return errDead
	}
	here := e.Seq == m.call
	m.dead = here && (m.at == begun) == (e.Kind == tape.BeginKind)
	if m.dead && m.at == performed {
		return errDead
	}
	if err := m.Memory.Append(e, durable); err != nil || !m.dead {
		return err
	}
	return errDead
}

// subject is an action with a lab to act on.
type subject struct {
	action     string // plugin/action, and a word where there are several
	parameters map[string]any
	// start gives a lab of its own; effect says what is wrong with what the action has left there, one request of which may have been repeated.
	start func(t *testing.T) (c *connector, effect func(repeated bool) error)
	vague []string // members of the result that another time, or another try, may give otherwise
}

// untouched is for actions that only read: what they may read does not change.
func untouched[S any](start func(*testing.T) (S, *connector), state func(S) any) func(*testing.T) (*connector, func(bool) error) {
	return func(t *testing.T) (*connector, func(bool) error) {
		s, c := start(t)
		if state == nil {
			return c, func(bool) error { return nil }
		}
		before := state(s)
		return c, func(bool) error {
			if after := state(s); !reflect.DeepEqual(before, after) {
				return fmt.Errorf("%v became %v", before, after)
			}
			return nil
		}
	}
}

func atMost(n, most int, what string) error {
	if n > most {
		return fmt.Errorf("%d %s, at most %d are right", n, what, most)
	}
	return nil
}

func one(repeated bool) int {
	if repeated {
		return 2
	}
	return 1
}

const blockedIP = "203.0.113.66"

// firewall blocks the address before, for the given seconds, if before is not negative. Afterwards it must be blocked or not, after so many
// registrations. One that is repeated finds the address registered, and registers it once more to renew its time.
func firewall(before int, blocked bool, registrations int) func(*testing.T) (*connector, func(bool) error) {
	return func(t *testing.T) (*connector, func(bool) error) {
		s, c := startPANOS(t)
		if before >= 0 {
			must[change](c, "block-ip", map[string]any{"ip": blockedIP, "timeout_seconds": before})
		}
		was := s.Count(blockedIP)
		return c, func(repeated bool) error {
			now := s.Count(blockedIP)
			want := 0
			if blocked {
				want = 1
			}
			if all := s.Blocked(); len(all) != want || blocked && all[0].Timeout != 60 {
				return fmt.Errorf("registered %+v", all)
			}
			more := 2 * (one(repeated) - 1)
			return errors.Join(atMost(now.Register-was.Register, registrations+more, "times registered"), atMost(now.Unregister-was.Unregister, 1+more, "times unregistered"))
		}
	}
}

func relay(t *testing.T) (*connector, func(bool) error) {
	s, c := startRelay(t, smtpsink.Options{}, nil)
	return c, func(repeated bool) error {
		all := s.Messages()
		for _, m := range all {
			if !m.Accepted || m.MessageID != all[0].MessageID {
				return fmt.Errorf("mails %+v", all)
			}
		}
		if len(all) == 0 {
			return errors.New("no mail")
		}
		return atMost(len(all), one(repeated), "mails")
	}
}

func startSink(t *testing.T) *sink.Server {
	s, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	return s
}

func receiver(t *testing.T) (*connector, func(bool) error) {
	s := startSink(t)
	return connect(t, "webhook", map[string]any{"url": s.URL()}), func(repeated bool) error {
		all := s.Requests()
		for _, r := range all {
			if r.Key == "" || r.Key != all[0].Key || r.Body != all[0].Body {
				return fmt.Errorf("requests %+v", all)
			}
		}
		if len(all) == 0 {
			return errors.New("no request")
		}
		return atMost(len(all), one(repeated), "requests")
	}
}

// subjects are all actions that we ship.
func subjects() []subject {
	ip := map[string]any{"ip": blockedIP}
	vendor := func(action string, parameters map[string]any) subject {
		return subject{action: action, parameters: parameters}
	}
	with := func(start func(*testing.T) (*connector, func(bool) error), list ...subject) []subject {
		for i := range list {
			list[i].start = start
		}
		return list
	}
	last := map[string]any{"last": "30m", "query": `source_address="10.20.30.40" | chart count() by destination_address`}
	// What the poll of a search says depends on how often it was asked.
	search := subject{action: "logpoint/search", parameters: last, vague: []string{"search_id", "took_ms"}}
	withoutRDAP := func(t *testing.T) (*connector, func(bool) error) {
		r := startRegistries(t, whois.RIPE, false)
		delete(r.c.grant, "rdap")
		r.c.settings["referrals"] = []string{r.registry.Addr()}
		return r.c, func(bool) error { return nil }
	}
	return slices.Concat(
		with(untouched(startDNS, nil), vendor("dns/reverse", ip), vendor("dns/forward", map[string]any{"name": "alias.example.com"})),
		with(func(t *testing.T) (*connector, func(bool) error) {
			return connect(t, "geoip", map[string]any{}), func(bool) error { return nil }
		}, vendor("geoip/lookup", ip)),
		with(untouched(startHackerTarget, nil), vendor("hackertarget/reverse-dns", ip), vendor("hackertarget/whois", ip), vendor("hackertarget/geoip", ip),
			vendor("hackertarget/hostsearch", map[string]any{"domain": "vps.example.com"}), vendor("hackertarget/reverse-ip", ip)),
		with(untouched(startLogPoint, nil), search, vendor("logpoint/repositories", map[string]any{})),
		with(relay, vendor("mail/send", note("bob.meyer@corp.test"))),
		with(untouched(func(t *testing.T) (any, *connector) { return startMSSQL(t, false) }, nil), vendor("mssql/query", byIP("10.20.30.41"))),
		with(firewall(-1, true, 1), vendor("paloalto/block-ip", map[string]any{"ip": blockedIP, "timeout_seconds": 60})),
		with(firewall(3600, true, 2), vendor("paloalto/block-ip for another time", map[string]any{"ip": blockedIP, "timeout_seconds": 60})),
		with(firewall(0, false, 0), vendor("paloalto/unblock-ip", ip)),
		with(firewall(60, true, 0), vendor("paloalto/is-blocked", ip)),
		with(untouched(startVirusTotal, nil), vendor("virustotal/ip-report", ip), vendor("virustotal/domain-report", map[string]any{"domain": "cdn-telemetry.example"}),
			vendor("virustotal/file-report", map[string]any{"hash": "5F1D7A84DB00D2FCE00B31A7FC73224F"})),
		with(receiver, vendor("webhook/post", map[string]any{"body": map[string]any{"alarm": "c2"}})),
		with(untouched(func(t *testing.T) (any, *connector) { r := startRegistries(t, whois.RIPE, false); return r, r.c }, nil), vendor("whois/lookup", ip)),
		with(withoutRDAP, vendor("whois/lookup by port 43", ip)),
	)
}

// Wherever in a host call of a shipped action the process dies, the next one goes on from the tape: the result is that of an action that nothing
// befell, an effect has come about once, or was sent again with the same key, and the tape that both wrote can be replayed.
func TestCrashAtEveryHostCall(t *testing.T) {
	all := subjects()
	for name, m := range manifestsOfFolders(t) {
		for action := range m.Actions {
			if !slices.ContainsFunc(all, func(s subject) bool { return s.action == name+"/"+action }) {
				t.Errorf("%s/%s is not tried", name, action)
			}
		}
	}
	moments := 0
	for _, s := range all {
		t.Run(s.action, func(t *testing.T) {
			c, effect := s.start(t)
			want, calls := s.whole(t, c)
			if err := effect(false); err != nil {
				t.Fatalf("without a crash: %v", err)
			}
			if len(calls) == 0 && c.bundle.Manifest.Actions[s.name()].Effect != abi.Pure {
				t.Error("it makes no host call")
			}
			for _, call := range calls {
				for _, at := range []moment{begun, performed, answered} {
					if call.Refused && at != answered { // it never begins
						continue
					}
					t.Run(fmt.Sprintf("call %d %s", call.Seq, at), func(t *testing.T) {
						s.dies(t, call.Seq, at, want)
						moments++
					})
				}
			}
		})
	}
	t.Logf("%d actions died at %d moments", len(all), moments)
}

// name is that of the action within its plugin.
func (s subject) name() string {
	_, action, _ := strings.Cut(s.action, "/")
	action, _, _ = strings.Cut(action, " ")
	return action
}

func (s subject) invocation(t *testing.T, c *connector, log tape.Log) host.Invocation {
	return host.Invocation{ID: "inv-1", Key: "key-" + s.action, Bundle: c.bundle, Action: s.name(), Parameters: c.json(s.parameters), Settings: c.json(c.settings),
		Grant: c.grant, Now: now(), Tape: log}
}

// whole runs the action without a crash, and gives its calls too.
func (s subject) whole(t *testing.T, c *connector) (host.Outcome, []tape.Exchange) {
	t.Helper()
	log := &tape.Memory{}
	out, err := shared.host.Run(t.Context(), s.invocation(t, c, log))
	if err != nil || out.Fault != nil {
		t.Fatal(out.Fault, err)
	}
	return out, tape.Exchanges(log.Entries())
}

// dies lets the action die, and go on in another host an hour later.
func (s subject) dies(t *testing.T, call int, at moment, want host.Outcome) {
	c, effect := s.start(t)
	log := &mortal{call: call, at: at}
	in := s.invocation(t, c, log)
	if _, err := shared.host.Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if !log.dead {
		t.Fatalf("it made no call %d", call)
	}
	resumed := tape.Resume(log.Entries())
	in.Tape, in.Now = resumed, in.Now.Add(time.Hour)
	out, err := shared.second.Run(t.Context(), in)
	if err != nil || out.Fault != nil {
		t.Fatal(out.Fault, err)
	}
	c.checkSecrets(out, resumed)
	if at == performed { // what is asked for once more is there
		s.vague = append(slices.Clip(s.vague), "already")
	}
	if got, want := s.plain(t, out.Output), s.plain(t, want.Output); !reflect.DeepEqual(got, want) {
		t.Errorf("it gave %v, and without a crash %v", got, want)
	}
	if err := effect(at == performed); err != nil {
		t.Error(err)
	}
	c.replays(resumed.Entries(), out)
}

var labAddress = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// plain is a result without what is vague; labs differ in their ports.
func (s subject) plain(t *testing.T, output json.RawMessage) map[string]any {
	var m map[string]any
	if err := json.Unmarshal(labAddress.ReplaceAll(output, []byte("lab")), &m); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(m, func(name string, _ any) bool { return slices.Contains(s.vague, name) })
	return m
}

// A write that must not be repeated is not: whether it was done or not, the invocation is in doubt. Once its end is on disk, it goes on.
func TestCrashOfWhatMustNotBeRepeated(t *testing.T) {
	module, err := shared.plugin(t, "webhook").Module()
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../plugins/webhook/plugin.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := bundle.ManifestFromYAML([]byte(strings.ReplaceAll(string(text), "write.keyed", "write.unsafe")), file)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := bundle.Pack(module, manifest)
	if err != nil {
		t.Fatal(err)
	}
	unsafe, err := bundle.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*host.Host{shared.host, shared.second} {
		if err := h.Install(t.Context(), unsafe); err != nil {
			t.Fatal(err)
		}
	}
	for at, want := range map[moment]struct {
		requests int
		kind     abi.Kind
	}{begun: {0, abi.InDoubt}, performed: {1, abi.InDoubt}, answered: {1, ""}} {
		t.Run(string(at), func(t *testing.T) {
			s := startSink(t)
			c := connect(t, "webhook", map[string]any{"url": s.URL()})
			c.bundle = unsafe
			log := &mortal{call: 1, at: at}
			in := subject{action: "webhook/post", parameters: map[string]any{"body": 1}}.invocation(t, c, log)
			if _, err := shared.host.Run(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			entries := log.Entries()
			for range 2 { // and once more, if the second dies before anybody has heard of it
				resumed := tape.Resume(entries)
				in.Tape = resumed
				out, err := shared.second.Run(t.Context(), in)
				if err != nil || (out.Fault == nil) != (want.kind == "") || out.Fault != nil && out.Fault.Kind != want.kind {
					t.Errorf("%s %v %v", out.Output, out.Fault, err)
				}
				entries = resumed.Entries()
				c.replays(entries, out)
			}
			if n := s.Total(); n != int64(want.requests) {
				t.Errorf("%d requests", n)
			}
		})
	}
}
