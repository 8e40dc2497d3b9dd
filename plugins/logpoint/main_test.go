package main

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

var connector = settings{BaseURL: "https://lp.corp.test/", Username: "riposte", PollMS: 50}

// logpoint answers each request with the next text, and keeps what was posted.
func logpoint(t *testing.T, posted *[]url.Values, answers ...string) pdk.Stub {
	return func(fn string, raw []byte) abi.Reply {
		var r abi.HTTPRequest
		if err := json.Unmarshal(raw, &r); err != nil || fn != "http.fetch" || r.Method != "POST" {
			t.Errorf("%s %s %v", fn, raw, err)
		}
		form, err := url.ParseQuery(r.Body.Text)
		if err != nil {
			t.Error(err)
		}
		form.Set("url", r.Capability+" "+r.URL)
		*posted = append(*posted, form)
		if len(*posted) > len(answers) {
			t.Fatal("one request too many")
		}
		return pdk.Value(abi.HTTPResponse{Status: 200, Body: abi.Payload{Text: answers[len(*posted)-1]}})
	}
}

func TestSearchPollsUntilFinal(t *testing.T) {
	var posted []url.Values
	got, fault := pdk.Try(search, connector, map[string]any{"query": "a=1 | chart count() by b", "last": "30m", "repos": []string{"r1"}}, logpoint(t, &posted,
		`{"success":true,"search_id":"s-1"}`, `{"success":true,"final":false,"rows":[{"b":"x","count()":1}]}`,
		`{"success":true,"final":true,"rows":[{"b":"x","count()":2},{"b":"y","count()":1}]}`))
	if fault != nil || !got.Final || got.Count != 2 || string(got.Rows[0]) != `{"b":"x","count()":2}` || got.SearchID != "s-1" || got.TookMS < 0 {
		t.Fatalf("got %+v %v", got, fault)
	}
	if len(posted) != 3 || posted[0].Get("url") != "search https://lp.corp.test/getsearchlogs" || posted[0].Get("username") != "riposte" || posted[0].Has("secret_key") {
		t.Errorf("posted %v", posted)
	}
	// 2026-01-02 03:04:05 UTC is 1767323045
	if want := `{"query":"a=1 | chart count() by b","time_range":[1767321245,1767323045],"limit":1000,"repos":["r1"]}`; posted[0].Get("requestData") != want {
		t.Errorf("started with %s, want %s", posted[0].Get("requestData"), want)
	}
	if want := `{"search_id":"s-1"}`; posted[2].Get("requestData") != want {
		t.Errorf("polled with %s", posted[2].Get("requestData"))
	}
}

func TestNoRowsIsAnEmptyList(t *testing.T) {
	var posted []url.Values
	got, fault := pdk.Try(search, connector, params{Query: "x"}, logpoint(t, &posted, `{"success":true,"search_id":"s"}`, `{"success":true,"final":true}`))
	if fault != nil || got.Rows == nil || got.Count != 0 {
		t.Errorf("got %+v %v", got, fault)
	}
}

func TestRepositories(t *testing.T) {
	var posted []url.Values
	got, fault := pdk.Try(list, connector, nil, logpoint(t, &posted, `{"success":true,"allowed_repos":[{"repo":"default","address":"127.0.0.1:5504/default"}]}`))
	if fault != nil || strings.Join(got.Repos, " ") != "127.0.0.1:5504/default" || posted[0].Get("type") != "logpoint_repos" ||
		posted[0].Get("url") != "preferences https://lp.corp.test/getalloweddata" {
		t.Errorf("got %+v %v %v", got, fault, posted)
	}
}

func TestRefusals(t *testing.T) {
	for answer, kind := range map[string]abi.Kind{
		`{"success":false,"message":"Authentication Failed"}`:  abi.Unauthorized,
		`{"success":false,"message":"Error in query: near |"}`: abi.Invalid,
		`{"success":false,"message":"Invalid search_id: x"}`:   abi.Conflict,
		`{"success":false,"message":"Something else"}`:         abi.Failed,
		`{"success":true}`: abi.Unavailable,
		`<html>`:           abi.Unavailable,
	} {
		var posted []url.Values
		if _, fault := pdk.Try(search, connector, params{Query: "x"}, logpoint(t, &posted, answer)); fault == nil || fault.Kind != kind {
			t.Errorf("%s: got %v", answer, fault)
		}
	}
}

func TestTimeRange(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) *time.Time { v := now.Add(d); return &v }
	for _, test := range []struct {
		p     params
		from  time.Duration
		to    time.Duration
		where string
	}{
		{params{}, -time.Hour, 0, ""},
		{params{Last: "7d"}, -7 * 24 * time.Hour, 0, ""},
		{params{Last: "90m", To: at(-time.Hour)}, -150 * time.Minute, -time.Hour, ""},
		{params{From: at(-time.Minute)}, -time.Minute, 0, ""},
		{params{From: at(-time.Minute), Last: "1h"}, 0, 0, "$.parameters.last"},
		{params{From: at(time.Minute)}, 0, 0, "$.parameters.from"},
		{params{Last: "0m"}, 0, 0, "$.parameters.last"},
		{params{Last: "m"}, 0, 0, "$.parameters.last"},
		{params{Last: "5s"}, 0, 0, "$.parameters.last"},
		{params{Last: "2000000000d"}, 0, 0, "$.parameters.last"},
	} {
		from, to, err := timeRange(test.p, now)
		f := abi.AsFault(err)
		if test.where != "" {
			if f == nil || f.Where != test.where {
				t.Errorf("%+v: got %v", test.p, err)
			}
			continue
		}
		if err != nil || from.Sub(now) != test.from || to.Sub(now) != test.to {
			t.Errorf("%+v: got %v to %v, %v", test.p, from, to, err)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"", "30m", "24h", "7d", "x", "-1m", "99999999999d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := duration(s); err == nil && d <= 0 {
			t.Errorf("%q gives %v", s, d)
		}
	})
}
