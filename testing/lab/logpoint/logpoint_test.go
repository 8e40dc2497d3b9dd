package logpoint_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/logpoint"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

func start(t *testing.T, opts logpoint.Options) *logpoint.Server {
	t.Helper()
	s, err := logpoint.Start(world.Default(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// answer is what a client reads of an answer.
type answer struct {
	Success   bool
	Message   string
	SearchID  string `json:"search_id"`
	QueryType string `json:"query_type"`
	Final     bool
	Version   int
	Rows      []map[string]any
	Columns   []string
	Grouping  []string
	Estimate  int                              `json:"estim_count"`
	TimeRange []int                            `json:"time_range"`
	Repos     []struct{ Repo, Address string } `json:"allowed_repos"`
	Timezone  string
}

func post(t *testing.T, s *logpoint.Server, path string, form url.Values) answer {
	t.Helper()
	resp, err := http.PostForm(s.URL()+path, form) //nolint:noctx // one plain call
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %v: %s", resp.StatusCode, err, body)
	}
	return a
}

// ask sends requestData with the right credentials.
func ask(t *testing.T, s *logpoint.Server, request map[string]any) answer {
	t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return post(t, s, "/getsearchlogs", url.Values{"username": {logpoint.DefaultUser}, "secret_key": {logpoint.DefaultSecret}, "requestData": {string(data)}})
}

// search starts a search, polls it to its end, and gives the final answer.
func search(t *testing.T, s *logpoint.Server, query string, timeRange any) answer {
	t.Helper()
	begun := ask(t, s, map[string]any{"query": query, "time_range": timeRange, "limit": 100, "repos": []string{logpoint.Repo}})
	if !begun.Success || begun.SearchID == "" {
		t.Fatalf("%s: %+v", query, begun)
	}
	for range 10 {
		a := ask(t, s, map[string]any{"search_id": begun.SearchID})
		if !a.Success {
			t.Fatalf("%s: %+v", query, a)
		}
		if a.Final {
			return a
		}
	}
	t.Fatalf("%s: not final after 10 polls", query)
	return answer{}
}

// column lists one field of the rows, sorted.
func column(a answer, field string) []string {
	out := []string{}
	for _, r := range a.Rows {
		out = append(out, fmt.Sprint(r[field]))
	}
	slices.Sort(out)
	return out
}

func TestAllowedData(t *testing.T) {
	s := start(t, logpoint.Options{})
	form := url.Values{"username": {logpoint.DefaultUser}, "secret_key": {logpoint.DefaultSecret}}
	get := func(kind string) answer {
		form.Set("type", kind)
		return post(t, s, "/getalloweddata", form)
	}
	if a := get("logpoint_repos"); !a.Success || len(a.Repos) != 1 || a.Repos[0].Address != logpoint.Repo {
		t.Errorf("repos: %+v", a)
	}
	if a := get("user_preference"); !a.Success || a.Timezone != "UTC" {
		t.Errorf("user preference: %+v", a)
	}
	for _, kind := range []string{"loginspects", "devices", "livesearches"} {
		if a := get(kind); !a.Success {
			t.Errorf("%s: %+v", kind, a)
		}
	}
	if a := get("nonsense"); a.Success || a.Message == "" {
		t.Errorf("nonsense: %+v", a)
	}
}

func TestAuthentication(t *testing.T) {
	s := start(t, logpoint.Options{})
	for name, form := range map[string]url.Values{
		"wrong key":  {"username": {logpoint.DefaultUser}, "secret_key": {"x"}},
		"wrong user": {"username": {"x"}, "secret_key": {logpoint.DefaultSecret}},
	} {
		for _, path := range []string{"/getalloweddata", "/getsearchlogs"} {
			if a := post(t, s, path, form); a.Success || a.Message != "Authentication Failed" {
				t.Errorf("%s at %s: %+v", name, path, a)
			}
		}
	}
	if a := post(t, s, "/getsearchlogs", url.Values{}); a.Success || !strings.HasPrefix(a.Message, "Missing required parameter") {
		t.Errorf("no credentials: %+v", a)
	}
	resp, err := http.Get(s.URL() + "/getsearchlogs") //nolint:noctx // one plain call
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", resp.StatusCode)
	}
	for _, c := range s.Calls() {
		if strings.Contains(c.Query.Encode(), logpoint.DefaultSecret) {
			t.Errorf("a secret in %+v", c)
		}
	}
}

// The two pivots of the malicious-outbound runbook.
func TestPivots(t *testing.T) {
	s := start(t, logpoint.Options{})
	first := search(t, s, `source_address="10.20.30.40" -destination_address in HOMENET | chart count() by destination_address`, "Last 30 minutes")
	if got, want := column(first, "destination_address"), []string{"192.0.2.10", "192.0.2.44", "198.51.100.23", "198.51.100.77", "203.0.113.66",
		"203.0.113.9"}; !slices.Equal(got, want) {
		t.Errorf("talked to %v, want %v", got, want)
	}
	if first.QueryType != "chart" || !slices.Equal(first.Columns, []string{"count()"}) || !slices.Equal(first.Grouping, []string{"destination_address"}) {
		t.Errorf("answer %+v", first)
	}
	row := first.Rows[0] // the largest count
	want := map[string]any{"destination_address": "203.0.113.66", "count()": 3.0, "_group": []any{"203.0.113.66"},
		"_type_num": " count()", "_type_ip": " destination_address", "_type_str": " count() destination_address"}
	if !reflect.DeepEqual(row, want) {
		t.Errorf("row %v, want %v", row, want)
	}
	second := search(t, s, `destination_address in ["198.51.100.23","198.51.100.77"] -source_address="10.20.30.40" | chart count() by source_address`,
		"Last 24 hours")
	if got, want := column(second, "source_address"), []string{"10.20.30.41", "10.20.31.7", "10.20.40.99"}; !slices.Equal(got, want) {
		t.Errorf("hosts %v, want %v", got, want)
	}
}

func TestQueries(t *testing.T) {
	s := start(t, logpoint.Options{Polls: -1})
	for query, want := range map[string][]string{
		`destination_address in [198.51.100.23, 198.51.100.77]`:                                   {"10.20.30.40", "10.20.30.41", "10.20.31.7", "10.20.40.99"},
		`destination_address = 198.51.100.77 and source_port>40200`:                               {"10.20.30.40", "10.20.30.41"},
		`destination_address=198.51.100.* -source_address=10.20.30.*`:                             {"10.20.31.7", "10.20.40.99"},
		`destination_address in [198.51.100.0/24] not source_address=10.20.30.40`:                 {"10.20.30.41", "10.20.31.7", "10.20.40.99"},
		`(source_address="10.20.31.7" or source_address="10.20.40.99") destination_port=8443`:     {"10.20.40.99"},
		`source_address not in ["10.20.30.40", "10.20.30.41"] destination_address != 203.0.113.9`: {"10.20.31.7", "10.20.40.99", "10.20.50.5"},
		`sent_datasize>=9120344`:                          {"10.20.30.40"},
		`sent_datasize<70 protocol=UDP`:                   {"10.20.50.5"},
		`sent_datasize<=66`:                               {"10.20.50.5"},
		`"-> 198.51.100.23:8443"`:                         {"10.20.30.40", "10.20.30.41", "10.20.40.99"},
		`10.20.31.7`:                                      {"10.20.31.7"},
		`source_address="nobody"`:                         {},
		`nosuchfield=1`:                                   {},
		`-nosuchfield=1 source_address="10.20.31.7"`:      {"10.20.31.7"},
		`source_address="10.20.31.7\" or action=\"allow"`: {},
		`action=allow | fields source_address`:            {"10.20.30.40", "10.20.30.41", "10.20.31.7", "10.20.40.99", "10.20.50.5"},
		`| chart count() by source_address`:               {"10.20.30.40", "10.20.30.41", "10.20.31.7", "10.20.40.99", "10.20.50.5"},
		`| chart sum(sent_datasize) as n by source_address | order by n desc | limit 1`:                                {"10.20.30.40"},
		`| chart count() by source_address | order by count() asc | limit 1`:                                           {"10.20.40.99"},
		`action=allow | chart count() by source_address, destination_address | order by source_address desc | limit 1`: {"10.20.50.5"},
	} {
		got := slices.Compact(column(search(t, s, query, "Last 1 day"), "source_address"))
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestChartColumns(t *testing.T) {
	s := start(t, logpoint.Options{})
	a := search(t, s, `source_address=10.20.30.40 destination_address=198.51.100.23 | chart count(), sum(sent_datasize), max(sent_datasize) as top, `+
		`min(sent_datasize), distinct_count(source_port) by source_address, destination_address`, "Last 30 minutes")
	if len(a.Rows) != 1 {
		t.Fatalf("rows %v", a.Rows)
	}
	for name, want := range map[string]any{"count()": 2.0, "sum(sent_datasize)": 149124.0, "top": 88120.0, "min(sent_datasize)": 61004.0,
		"distinct_count(source_port)": 2.0, "source_address": "10.20.30.40"} {
		if a.Rows[0][name] != want {
			t.Errorf("%s is %v, want %v", name, a.Rows[0][name], want)
		}
	}
	if all := search(t, s, `| chart count()`, "Last 30 minutes"); len(all.Rows) != 1 || all.Rows[0]["count()"] != 17.0 {
		t.Errorf("without by: %v", all.Rows)
	}
}

func TestQueryErrors(t *testing.T) {
	s := start(t, logpoint.Options{})
	for query, want := range map[string]string{
		`source_address=`:                                 "column 16: expected a value, found the end",
		`source_address="x`:                               "column 16: a quote is not closed",
		`source_address in NOLIST`:                        "column 19: expected the name of a list that exists",
		`source_address in [a b]`:                         `column 22: expected , or ], found "b"`,
		`source_address in []`:                            `column 20: expected a value, found "]"`,
		`source_address not x`:                            "expected in",
		`(source_address=a`:                               "expected ), found the end",
		`source_address=a)`:                               `expected and, or, | or the end, found ")"`,
		`source_port > many`:                              `expected a number, found "many"`,
		`a=b |`:                                           "expected chart, order by, limit or fields, found the end",
		`a=b | timechart count()`:                         `expected chart, order by, limit or fields, found "timechart"`,
		`a=b | chart avg(x) by y`:                         `expected count, sum, max, min or distinct_count, found "avg"`,
		`a=b | chart count( by y`:                         "expected",
		`a=b | chart sum() by y`:                          "expected a field",
		`a=b | chart count() by`:                          "expected a field, found the end",
		`a=b | chart count() | chart count()`:             "twice",
		`a=b | limit 0`:                                   "expected a positive number",
		`a=b | order sideways`:                            "expected by",
		`= = =`:                                           "expected a field",
		strings.Repeat("(", 100):                          "nest deeper",
		strings.Repeat("-", 100) + "a":                    "nest deeper",
		strings.Repeat("a", 70<<10):                       "longer than",
		"| chart count() by a" + strings.Repeat(",a", 20): "at most 16",
	} {
		a := ask(t, s, map[string]any{"query": query, "time_range": "Last 1 hour"})
		if a.Success || !strings.Contains(a.Message, want) || a.SearchID != "" {
			t.Errorf("%.40s: %+v, want %q", query, a, want)
		}
	}
}

func TestRequestErrors(t *testing.T) {
	s := start(t, logpoint.Options{})
	for name, tt := range map[string]struct {
		request map[string]any
		want    string
	}{
		"nothing":         {map[string]any{}, "Missing required parameter"},
		"no time range":   {map[string]any{"query": "a=b"}, "Missing required parameter"},
		"odd words":       {map[string]any{"query": "a=b", "time_range": "yesterday"}, "Invalid time_range"},
		"no time":         {map[string]any{"query": "a=b", "time_range": "Last 0 days"}, "Invalid time_range"},
		"one end":         {map[string]any{"query": "a=b", "time_range": []int{5}}, "Invalid time_range"},
		"wrong way round": {map[string]any{"query": "a=b", "time_range": []int{9, 5}}, "Invalid time_range"},
		"limit":           {map[string]any{"query": "a=b", "time_range": "Last 1 hour", "limit": 0}, "Invalid limit"},
		"repo":            {map[string]any{"query": "a=b", "time_range": "Last 1 hour", "repos": []string{"x"}}, "Invalid repo"},
		"search_id":       {map[string]any{"search_id": "x"}, "Invalid search_id"},
		"type":            {map[string]any{"query": 5}, "Invalid requestData"},
	} {
		if a := ask(t, s, tt.request); a.Success || !strings.Contains(a.Message, tt.want) {
			t.Errorf("%s: %+v, want %q", name, a, tt.want)
		}
	}
}

func TestPollsAndRows(t *testing.T) {
	s := start(t, logpoint.Options{Polls: 3})
	begun := ask(t, s, map[string]any{"query": "action=allow", "time_range": "Last 30 minutes"})
	var (
		rows   []int
		finals []bool
	)
	for i := range 5 {
		a := ask(t, s, map[string]any{"search_id": begun.SearchID})
		rows, finals = append(rows, len(a.Rows)), append(finals, a.Final)
		if a.Version != i+1 || a.QueryType != "simple" || a.Estimate != len(a.Rows) {
			t.Errorf("poll %d: %+v", i+1, a)
		}
	}
	if fmt.Sprint(rows, finals) != "[4 8 12 17 17] [false false false true true]" {
		t.Errorf("rows %v, final %v", rows, finals)
	}
	got := s.Searches()
	if len(got) != 1 || got[0].Polls != 5 || !got[0].Final || got[0].Rows != 17 || got[0].To.Sub(got[0].From) != 30*time.Minute {
		t.Errorf("searches %+v", got)
	}
	s.Reset()
	if a := ask(t, s, map[string]any{"search_id": begun.SearchID}); a.Success || len(s.Searches()) != 0 {
		t.Errorf("after Reset: %+v", a)
	}
}

func TestLimitAndSimpleRow(t *testing.T) {
	s := start(t, logpoint.Options{Polls: -1})
	begun := ask(t, s, map[string]any{"query": "source_address=10.20.30.40", "time_range": "Last 30 minutes", "limit": "3"})
	a := ask(t, s, map[string]any{"search_id": begun.SearchID})
	if len(a.Rows) != 3 || !a.Final {
		t.Fatalf("%d rows, final %v", len(a.Rows), a.Final)
	}
	row := a.Rows[0] // the newest
	if row["destination_address"] != "203.0.113.66" || row["destination_port"] != 443.0 || row["sent_datasize"] != 9120344.0 ||
		row["_type_ip"] != " destination_address device_ip source_address" || !strings.Contains(row["msg"].(string), "203.0.113.66:443") {
		t.Errorf("row %v", row)
	}
	begun = ask(t, s, map[string]any{"query": "| chart count() by source_port", "time_range": "Last 30 minutes", "limit": 3})
	if a := ask(t, s, map[string]any{"search_id": begun.SearchID}); len(a.Rows) != 17 || a.Rows[0]["source_port"] != 40980.0 {
		t.Errorf("the limit cut a chart to %d rows, first %v", len(a.Rows), a.Rows[0])
	}
}

func TestAbsoluteTimeRangeAndOldSearches(t *testing.T) {
	var now atomic.Int64
	now.Store(1_800_000_000)
	s := start(t, logpoint.Options{Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	a := search(t, s, `source_address="10.20.30.40" destination_address=198.51.100.200`, []int64{now.Load() - 4*3600, now.Load() - 2*3600})
	if len(a.Rows) != 1 || fmt.Sprint(a.TimeRange) != fmt.Sprint([]int64{now.Load() - 4*3600, now.Load() - 2*3600}) {
		t.Errorf("answer %+v", a)
	}
	begun := ask(t, s, map[string]any{"query": "a=b", "time_range": "last 1 week"})
	now.Add(601)
	if a := ask(t, s, map[string]any{"search_id": begun.SearchID}); a.Success {
		t.Errorf("a search is kept for more than ten minutes: %+v", a)
	}
	for range 300 {
		ask(t, s, map[string]any{"query": "a=b", "time_range": "Last 1 hour"})
	}
	if n := len(s.Searches()); n != 256 {
		t.Errorf("%d searches are kept", n)
	}
}

func TestFault(t *testing.T) {
	s := start(t, logpoint.Options{})
	if err := s.Fail(httpsim.Fault{Match: "/getsearchlogs", Contains: `"search_id"`, Status: 200, Body: `{"success":false,"message":"Search timed out"}`, Times: 1}); err != nil {
		t.Fatal(err)
	}
	begun := ask(t, s, map[string]any{"query": "a=b", "time_range": "Last 1 hour"})
	if !begun.Success {
		t.Fatalf("the fault struck the wrong call: %+v", begun)
	}
	if a := ask(t, s, map[string]any{"search_id": begun.SearchID}); a.Success || a.Message != "Search timed out" {
		t.Errorf("%+v", a)
	}
	if a := ask(t, s, map[string]any{"search_id": begun.SearchID}); !a.Success {
		t.Errorf("after the fault: %+v", a)
	}
}
