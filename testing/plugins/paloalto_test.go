package plugins_test

import (
	"slices"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/panos"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

type change struct {
	IP, Tag          string
	Present, Already bool
	Timeout          int64 `json:"timeout_seconds"`
}

type blockStatus struct {
	Present bool
	Tags    []string
}

func startPANOS(t *testing.T) (*panos.Server, *connector) {
	t.Helper()
	s, err := panos.Start(world.Default(), panos.Options{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	return s, connect(t, "paloalto", map[string]any{"base_url": s.URL() + "/", "api_key": secretSetting(panos.DefaultKey)})
}

// The contract of a containment: do, probe, do again, undo, probe; nothing is left behind.
func TestPaloAltoContract(t *testing.T) {
	for _, ip := range []string{"203.0.113.66", "2001:db8::66"} {
		s, c := startPANOS(t)
		target := map[string]any{"ip": ip}
		if got := must[blockStatus](c, "is-blocked", target); got.Present || len(got.Tags) != 0 {
			t.Errorf("before: %+v", got)
		}
		if got := must[change](c, "block-ip", map[string]any{"ip": ip, "comment": "alarm 7"}); got != (change{ip, "riposte-blocked", true, false, 0}) {
			t.Errorf("block: %+v", got)
		}
		if got := must[blockStatus](c, "is-blocked", target); !got.Present || !slices.Equal(got.Tags, []string{"riposte-blocked"}) {
			t.Errorf("blocked: %+v", got)
		}
		if got := must[change](c, "block-ip", target); !got.Present || !got.Already {
			t.Errorf("again: %+v", got)
		}
		if got := must[blockStatus](c, "is-blocked", target); !got.Present {
			t.Errorf("blocked again: %+v", got)
		}
		if got := must[change](c, "unblock-ip", target); got.Present || got.Already {
			t.Errorf("unblock: %+v", got)
		}
		if got := must[blockStatus](c, "is-blocked", target); got.Present || len(got.Tags) != 0 {
			t.Errorf("after: %+v", got)
		}
		if got := must[change](c, "unblock-ip", target); got.Present || !got.Already {
			t.Errorf("unblock again: %+v", got)
		}
		if left := s.Blocked(); len(left) != 0 {
			t.Errorf("left behind: %+v", left)
		}
	}
}

func TestPaloAltoTimeoutHolds(t *testing.T) {
	s, c := startPANOS(t)
	expiry := func() time.Duration {
		all := s.Blocked()
		if len(all) != 1 {
			t.Fatalf("blocked: %+v", all)
		}
		return time.Duration(all[0].Timeout) * time.Second
	}
	for _, test := range []struct {
		seconds int
		already bool
	}{{60, false}, {3600, true}, {0, true}, {600, true}} {
		got := must[change](c, "block-ip", map[string]any{"ip": "203.0.113.66", "timeout_seconds": test.seconds})
		if want := time.Duration(test.seconds) * time.Second; got.Already != test.already || expiry() != want {
			t.Errorf("%v: got %+v, the firewall has %v", want, got, expiry())
		}
	}
	must[change](c, "block-ip", map[string]any{"ip": "203.0.113.66"})
	if expiry() != 0 {
		t.Errorf("a block without a timeout ends after %v", expiry())
	}
}

func TestPaloAltoOtherTagsStay(t *testing.T) {
	s, c := startPANOS(t)
	must[change](c, "block-ip", map[string]any{"ip": "203.0.113.66", "tag": "other"})
	must[change](c, "block-ip", map[string]any{"ip": "203.0.113.66"})
	must[change](c, "unblock-ip", map[string]any{"ip": "203.0.113.66"})
	if got := must[blockStatus](c, "is-blocked", map[string]any{"ip": "203.0.113.66"}); got.Present || !slices.Equal(got.Tags, []string{"other"}) || !s.Has("203.0.113.66", "other") {
		t.Errorf("got %+v", got)
	}
}

func TestPaloAltoVsys(t *testing.T) {
	s, c := startPANOS(t)
	c.settings["vsys"] = "vsys2"
	must[change](c, "block-ip", map[string]any{"ip": "203.0.113.66"})
	if all := s.Blocked(); len(all) != 1 || all[0].Vsys != "vsys2" {
		t.Errorf("blocked %+v", all)
	}
	if got := must[blockStatus](c, "is-blocked", map[string]any{"ip": "203.0.113.66"}); !got.Present {
		t.Errorf("got %+v", got)
	}
}

func TestPaloAltoRefusesWrongParameters(t *testing.T) {
	s, c := startPANOS(t)
	for _, p := range []map[string]any{{"ip": "10.0.0.0/8"}, {"ip": `1.2.3.4"/>`}, {"ip": "203.0.113.66", "tag": "<x>"}, {"ip": "203.0.113.66", "timeout_seconds": 2592001},
		{"ip": "203.0.113.66", "timeout_seconds": -1}, {"ip": "fe80::1%eth0"}, {}} {
		fails(c, "block-ip", p, abi.Invalid)
	}
	if calls := s.Calls(); len(calls) != 0 {
		t.Errorf("the firewall was called: %+v", calls)
	}
}

func TestPaloAltoFaults(t *testing.T) {
	s, c := startPANOS(t)
	for _, action := range []string{"block-ip", "unblock-ip", "is-blocked"} {
		t.Run(action, func(t *testing.T) {
			httpFaults(t, s, "/api", func(timeout time.Duration) *abi.Fault {
				again := *c
				again.t, again.timeout = t, timeout
				return again.run(action, map[string]any{"ip": "203.0.113.66"}).Fault
			})
		})
	}
	c.settings["api_key"] = secretSetting("not-the-right-key")
	if f := fails(c, "block-ip", map[string]any{"ip": "203.0.113.66"}, abi.Unauthorized); f.Retryable || f.Hint == "" {
		t.Errorf("got %+v", f)
	}
}

// The answer is lost, and the block is sent once more: the address is blocked once, and for as long as was asked.
func TestPaloAltoLostAnswer(t *testing.T) {
	s, c := startPANOS(t)
	if err := s.Fail(httpsim.Fault{Match: "/api", Contains: "type=user-id", Drop: true, Apply: true, Times: 1}); err != nil {
		t.Fatal(err)
	}
	block := map[string]any{"ip": "203.0.113.66", "timeout_seconds": 60}
	if f := fails(c, "block-ip", block, abi.Unavailable); !f.Retryable {
		t.Errorf("got %+v", f)
	}
	if !must[blockStatus](c, "is-blocked", map[string]any{"ip": "203.0.113.66"}).Present {
		t.Error("the probe does not see the block")
	}
	if got := must[change](c, "block-ip", block); !got.Already || len(s.Blocked()) != 1 {
		t.Errorf("got %+v, blocked %+v", got, s.Blocked())
	}
}

// What is not granted does not happen.
func TestPaloAltoGrant(t *testing.T) {
	s, c := startPANOS(t)
	delete(c.grant, "register")
	fails(c, "block-ip", map[string]any{"ip": "203.0.113.66"}, abi.Refused)
	if len(s.Calls()) != 0 {
		t.Errorf("the firewall was called: %+v", s.Calls())
	}
	if must[blockStatus](c, "is-blocked", map[string]any{"ip": "203.0.113.66"}).Present {
		t.Error("it is blocked")
	}
}
