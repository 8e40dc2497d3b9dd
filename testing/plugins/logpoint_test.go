package plugins_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/logpoint"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

type found struct {
	Rows     []map[string]any
	Count    int
	Final    bool
	SearchID string `json:"search_id"`
	TookMS   int64  `json:"took_ms"`
}

func startLogPoint(t *testing.T) (*logpoint.Server, *connector) {
	t.Helper()
	s, err := logpoint.Start(world.Default(), logpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	return s, connect(t, "logpoint", map[string]any{"base_url": s.URL(), "username": logpoint.DefaultUser, "secret_key": secretSetting(logpoint.DefaultSecret), "poll_ms": 50})
}

func column(rows []map[string]any, name string) []string {
	var all []string
	for _, row := range rows {
		text, _ := row[name].(string)
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// The two pivots of the outbound-traffic runbook.
func TestLogPointPivots(t *testing.T) {
	s, c := startLogPoint(t)
	talked := must[found](c, "search", map[string]any{"last": "30m",
		"query": `source_address="10.20.30.40" -destination_address in HOMENET | chart count() by destination_address`})
	want := []string{"192.0.2.10", "192.0.2.44", "198.51.100.23", "198.51.100.77", "203.0.113.66", "203.0.113.9"}
	if got := column(talked.Rows, "destination_address"); !slices.Equal(got, want) || talked.Count != len(want) || !talked.Final || talked.SearchID == "" {
		t.Errorf("got %v of %+v", got, talked)
	}
	if searches := s.Searches(); searches[0].Polls < 3 || !searches[0].Final {
		t.Errorf("the search was not polled to its end: %+v", searches)
	}
	others := must[found](c, "search", map[string]any{"last": "24h",
		"query": `destination_address in ["198.51.100.23", "198.51.100.77"] -source_address="10.20.30.40" | chart count() by source_address`})
	if got := column(others.Rows, "source_address"); !slices.Equal(got, []string{"10.20.30.41", "10.20.31.7", "10.20.40.99"}) {
		t.Errorf("got %v", got)
	}
	none := must[found](c, "search", map[string]any{"last": "1m", "query": `source_address="10.99.99.99"`})
	if none.Rows == nil || none.Count != 0 {
		t.Errorf("got %+v", none)
	}
}

func TestLogPointTimeAndLimit(t *testing.T) {
	s, c := startLogPoint(t)
	from, to := now().Add(-4*time.Hour), now().Add(-2*time.Hour)
	got := must[found](c, "search", map[string]any{"query": `source_address="10.20.30.40"`, "from": from, "to": to})
	if dst := column(got.Rows, "destination_address"); !slices.Equal(dst, []string{"198.51.100.200"}) {
		t.Errorf("got %v", dst)
	}
	if search := s.Searches()[0]; !search.From.Equal(from) || !search.To.Equal(to) {
		t.Errorf("searched from %v to %v", search.From, search.To)
	}
	got = must[found](c, "search", map[string]any{"query": `source_address="10.20.30.40"`, "last": "1h", "limit": 3, "repos": []string{logpoint.Repo}})
	if got.Count != 3 || len(got.Rows) != 3 {
		t.Errorf("got %d rows", got.Count)
	}
	c.settings["repos"] = []string{"192.0.2.1:5504/secret"}
	fails(c, "search", map[string]any{"query": "x"}, abi.Invalid)
	if repos := must[struct{ Repos []string }](c, "repositories", map[string]any{}).Repos; !slices.Equal(repos, []string{logpoint.Repo}) {
		t.Errorf("repositories %v", repos)
	}
}

func TestLogPointFaults(t *testing.T) {
	s, c := startLogPoint(t)
	for name, contains := range map[string]string{"start": "query", "poll": "search_id"} {
		t.Run(name, func(t *testing.T) {
			httpFaults(t, matching{s, contains}, "/getsearchlogs", func(timeout time.Duration) *abi.Fault {
				again := *c
				again.t, again.timeout = t, timeout
				return again.run("search", map[string]any{"query": `source_address="10.20.30.40"`, "last": "1h"}).Fault
			})
		})
	}
	if f := fails(c, "search", map[string]any{"query": "| chart count() by"}, abi.Invalid); !strings.Contains(f.Message, "LogPoint") {
		t.Errorf("got %v", f)
	}
	for _, p := range []map[string]any{{"query": ""}, {"query": "x", "last": "soon"}, {"query": "x", "last": "1h", "from": now()}, {"query": "x", "limit": 0}, {}} {
		fails(c, "search", p, abi.Invalid)
	}
	c.settings["secret_key"] = secretSetting("not-the-right-key")
	fails(c, "search", map[string]any{"query": "x"}, abi.Unauthorized)
	fails(c, "repositories", map[string]any{}, abi.Unauthorized)
}

// A search that never becomes final ends with the action's time.
func TestLogPointNeverFinal(t *testing.T) {
	s, c := startLogPoint(t)
	if err := s.Fail(httpsim.Fault{Contains: "search_id", Status: 200, Body: `{"success":true,"final":false,"rows":[]}`}); err != nil {
		t.Fatal(err)
	}
	c.timeout = 500 * time.Millisecond
	fails(c, "search", map[string]any{"query": "x", "last": "1h"}, abi.Timeout)
}

// matching sets faults for calls with a certain parameter only.
type matching struct {
	*logpoint.Server
	contains string
}

func (m matching) Fail(f httpsim.Fault) error {
	f.Contains = `{"` + m.contains
	return m.Server.Fail(f)
}
