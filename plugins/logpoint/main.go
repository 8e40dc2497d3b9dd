// Command logpoint is a plugin that searches the logs of a LogPoint with its Search API (docs.logpoint.com, "Search API").
package main

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

type settings struct {
	BaseURL  string   `json:"base_url"`
	Username string   `json:"username"`
	Repos    []string `json:"repos"`
	PollMS   int64    `json:"poll_ms"`
}

type params struct {
	Query string     `json:"query"`
	Last  string     `json:"last"`
	From  *time.Time `json:"from"`
	To    *time.Time `json:"to"`
	Limit int        `json:"limit"`
	Repos []string   `json:"repos"`
}

type result struct {
	Rows     []json.RawMessage `json:"rows"`
	Count    int               `json:"count"`
	Final    bool              `json:"final"`
	SearchID string            `json:"search_id"`
	TookMS   int64             `json:"took_ms"`
}

type repositories struct {
	Repos []string `json:"repos"`
}

var _ = pdk.Learn(new(settings), new(request), new(answer))

//go:wasmexport search
func searchExport() int32 { return pdk.Run(search) }

//go:wasmexport repositories
func repositoriesExport() int32 { return pdk.Run(list) }

func main() {}

// request is what starts a search: requestData of getsearchlogs. Times are seconds since 1970.
type request struct {
	Query     string   `json:"query"`
	TimeRange [2]int64 `json:"time_range"`
	Limit     int      `json:"limit"`
	Repos     []string `json:"repos,omitempty"`
}

// answer is what LogPoint says; with success false it is a message, whatever the HTTP status is.
type answer struct {
	Success  bool              `json:"success"`
	Message  string            `json:"message"`
	SearchID string            `json:"search_id"`
	Final    bool              `json:"final"`
	Rows     []json.RawMessage `json:"rows"`
	Repos    []struct {
		Address string `json:"address"`
	} `json:"allowed_repos"`
}

// search starts a search and waits for its final answer. Each answer holds all rows so far, so only the last one counts.
func search(c *pdk.Call, p params) (result, error) {
	api, err := connect(c)
	if err != nil {
		return result{}, err
	}
	from, to, err := timeRange(p, c.Now())
	if err != nil {
		return result{}, err
	}
	r := request{Query: p.Query, TimeRange: [2]int64{from.Unix(), to.Unix()}, Limit: p.Limit, Repos: p.Repos}
	if r.Limit == 0 {
		r.Limit = 1000
	}
	if len(r.Repos) == 0 {
		r.Repos = api.settings.Repos
	}
	began := time.Now()
	started, err := api.ask("search", "getsearchlogs", "requestData", r)
	if err != nil {
		return result{}, err
	}
	if started.SearchID == "" {
		return result{}, pdk.Fail(abi.Unavailable, "LogPoint started the search without naming it", "")
	}
	interval := time.Duration(max(api.settings.PollMS, 50)) * time.Millisecond
	for wait := min(interval, 200*time.Millisecond); ; wait = interval {
		time.Sleep(wait)
		a, err := api.ask("search", "getsearchlogs", "requestData", map[string]string{"search_id": started.SearchID})
		if err != nil {
			return result{}, err
		}
		if a.Final {
			if a.Rows == nil {
				a.Rows = []json.RawMessage{}
			}
			return result{a.Rows, len(a.Rows), true, started.SearchID, time.Since(began).Milliseconds()}, nil
		}
	}
}

// list gives the repositories that the user may search.
func list(c *pdk.Call, _ struct{}) (repositories, error) {
	api, err := connect(c)
	if err != nil {
		return repositories{}, err
	}
	a, err := api.ask("preferences", "getalloweddata", "type", "logpoint_repos")
	out := repositories{Repos: []string{}}
	if err != nil {
		return out, err
	}
	for _, r := range a.Repos {
		out.Repos = append(out.Repos, r.Address)
	}
	return out, nil
}

// client is the Search API of one LogPoint; the host adds the secret key to each form.
type client struct {
	call     *pdk.Call
	settings settings
}

func connect(c *pdk.Call) (*client, error) {
	api := &client{call: c, settings: settings{PollMS: 1000}}
	return api, c.Settings(&api.settings)
}

// ask posts one form: the user and a field, a text as it is, anything else as JSON.
func (api *client) ask(capability, path, field string, value any) (*answer, error) {
	text, ok := value.(string)
	if !ok {
		raw, err := pdk.Marshal(value)
		if err != nil {
			return nil, pdk.Fail(abi.Invalid, "the search cannot be written as JSON: "+err.Error(), "")
		}
		text = string(raw)
	}
	form := url.Values{"username": {api.settings.Username}, field: {text}}
	response, err := api.call.HTTP(capability).PostForm(strings.TrimRight(api.settings.BaseURL, "/")+"/"+path, form.Encode())
	if err != nil {
		return nil, err
	}
	var a answer
	if err := response.Into(&a); err != nil {
		return nil, err
	}
	if !a.Success {
		return nil, refusal(a.Message)
	}
	return &a, nil
}

// refusal turns LogPoint's words into a fault; the API has no codes.
func refusal(message string) error {
	if len(message) > 300 {
		message = strings.ToValidUTF8(message[:300], "") + " …"
	}
	words := strings.ToLower(message)
	kind, hint := abi.Failed, ""
	switch {
	case strings.Contains(words, "authentication") || strings.Contains(words, "secret_key") || strings.Contains(words, "permission"):
		kind, hint = abi.Unauthorized, "check username and secret_key in the connector's settings"
	case strings.Contains(words, "search_id"):
		kind, hint = abi.Conflict, "LogPoint forgot the search, perhaps because it restarted; start it again"
	case strings.Contains(words, "query") || strings.Contains(words, "invalid"):
		kind, hint = abi.Invalid, "correct the query"
	case strings.Contains(words, "too many") || strings.Contains(words, "limit exceeded"):
		kind = abi.RateLimited
	}
	f := abi.NewFault(kind, "LogPoint answered: "+message, hint)
	f.Retryable = f.Retryable || kind == abi.Conflict
	return f
}

// timeRange is the time that is searched.
func timeRange(p params, now time.Time) (from, to time.Time, err error) {
	to = now
	if p.To != nil {
		to = *p.To
	}
	switch {
	case p.From != nil && p.Last != "":
		return from, to, invalid("$.parameters.last", "last and from exclude each other")
	case p.From != nil:
		from = *p.From
	default:
		d, err := duration(p.Last)
		if err != nil {
			return from, to, err
		}
		from = to.Add(-d)
	}
	if !from.Before(to) {
		return from, to, invalid("$.parameters.from", "the time that is searched ends before it begins")
	}
	return from, to, nil
}

// duration reads 30m, 24h or 7d; nothing is an hour.
func duration(s string) (time.Duration, error) {
	if s == "" {
		return time.Hour, nil
	}
	unit, ok := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 31)
	if !ok || err != nil || n == 0 || time.Duration(n) > 10*365*24*time.Hour/unit {
		return 0, invalid("$.parameters.last", "expected a number and m, h or d, at most ten years, such as 30m")
	}
	return time.Duration(n) * unit, nil
}

func invalid(where, message string) error {
	f := abi.NewFault(abi.Invalid, message, "")
	f.Where = where
	return f
}
