// Package logpoint simulates the Search API of a LogPoint: what a user may see (getalloweddata) and searches that are started,
// then polled until they are final (getsearchlogs). The logs are the world's flows, as a firewall would have sent them; a flow's
// time counts back from the moment of the search.
//
// Sources: "Search API" of LogPoint's API reference (docs.logpoint.com), for getalloweddata and getsearchlogs with their
// parameters time_range, limit and repos; the search language from LogPoint's "Search Query Language" guide, of which query.go
// names the part that is understood. Every answer, errors too, is status 200 with "success" saying how it went.
package logpoint

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// The credentials of the simulated LogPoint, unless Options say otherwise.
const (
	DefaultUser   = "riposte"
	DefaultSecret = "3f9a6c1be27d48509a1c5e7f20b8d641"
)

// The server and the repository that hold the logs, as LogPoint addresses them.
const (
	Backend = "127.0.0.1:5504"
	Repo    = Backend + "/default"
)

const (
	maxJobs   = 256              // searches kept; the oldest goes first
	jobLife   = 10 * time.Minute // and none is kept longer than this
	maxFields = 16               // of a chart
)

// Options of a simulated LogPoint; the zero value is a good one.
type Options struct {
	Addr string           // where to listen; "" means 127.0.0.1:0
	Now  func() time.Time // the clock; nil means time.Now
	// User and Secret are username and secret_key; "" means the defaults.
	User, Secret string
	// Polls is how many polls of a search are answered with partial rows before the final one; 0 means 2, negative means none.
	Polls int
}

// Server is a running LogPoint.
type Server struct {
	*httpsim.Server
	world *world.World
	opts  Options

	mu    sync.Mutex
	jobs  map[string]*job
	order []*job // oldest first
}

// Search is a search that was started.
type Search struct {
	ID    string    `json:"id"`
	Query string    `json:"query"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Polls int       `json:"polls"`
	Final bool      `json:"final"` // the final rows were fetched
	Rows  int       `json:"rows"`  // of the final answer
}

// State is what Server.State gives.
type State struct {
	Searches []Search `json:"searches"` // that are still kept, oldest first
}

// job is a search between its start and its end.
type job struct {
	Search
	plan    *plan
	limit   int
	events  []event
	started time.Time
}

// Start starts a LogPoint that has the world's logs.
func Start(w *world.World, opts Options) (*Server, error) {
	opts.User = cmp.Or(opts.User, DefaultUser)
	opts.Secret = cmp.Or(opts.Secret, DefaultSecret)
	opts.Polls = max(cmp.Or(opts.Polls, 2), 0)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{world: w, opts: opts, jobs: map[string]*job{}}
	var err error
	s.Server, err = httpsim.Start(httpsim.Config{Addr: opts.Addr, Now: opts.Now, Handler: s.routes(),
		State: func() any { return State{s.Searches()} }, Reset: s.forget})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Searches lists the searches that are kept, oldest first.
func (s *Server) Searches() []Search {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Search{}
	for _, j := range s.order {
		out = append(out, j.Search)
	}
	return out
}

func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs, s.order = map[string]*job{}, nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /getalloweddata", s.authenticated(s.allowedData))
	mux.HandleFunc("POST /getsearchlogs", s.authenticated(s.searchLogs))
	return mux
}

// authenticated checks the form fields username and secret_key.
func (s *Server) authenticated(do func(r *http.Request) (map[string]any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var (
			out map[string]any
			err error
		)
		switch {
		case r.PostFormValue("username") == "" || r.PostFormValue("secret_key") == "":
			err = refuse("Missing required parameter: username and secret_key are needed in a body of application/x-www-form-urlencoded")
		case r.PostFormValue("username") != s.opts.User || r.PostFormValue("secret_key") != s.opts.Secret:
			err = refuse("Authentication Failed")
		default:
			out, err = do(r)
		}
		if err != nil {
			out = map[string]any{"success": false, "message": err.Error()}
		}
		data, err := json.Marshal(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(data) // the asker may have gone
	}
}

func (s *Server) allowedData(r *http.Request) (map[string]any, error) {
	self := []map[string]string{{"name": "LogPoint", "ip": "127.0.0.1"}}
	switch kind := r.PostFormValue("type"); kind {
	case "user_preference":
		return map[string]any{"success": true, "timezone": "UTC", "date_format": "%Y/%m/%d", "hour_format": "24 Hour"}, nil
	case "loginspects":
		return map[string]any{"success": true, "allowed_loginspects": self}, nil
	case "logpoint_repos":
		return map[string]any{"success": true, "logpoint": self,
			"allowed_repos": []map[string]string{{"repo": "default", "address": Repo}}}, nil
	case "devices":
		return map[string]any{"success": true, "logpoint": self,
			"allowed_devices": []map[string]string{{"127.0.0.1/" + deviceIP: deviceName}}}, nil
	case "livesearches":
		return map[string]any{"success": true, "livesearches": []any{}}, nil
	default:
		return nil, refuse("Invalid value for parameter type: %q", kind)
	}
}

// request is requestData of getsearchlogs: search_id alone polls, everything else starts a search.
type request struct {
	SearchID  string          `json:"search_id"`
	Query     *string         `json:"query"`
	TimeRange json.RawMessage `json:"time_range"`
	Limit     json.Number     `json:"limit"`
	Repos     []string        `json:"repos"`
}

func (s *Server) searchLogs(r *http.Request) (map[string]any, error) {
	var req request
	if err := json.Unmarshal([]byte(r.PostFormValue("requestData")), &req); err != nil {
		return nil, refuse("Invalid requestData: a JSON object is expected: %v", err)
	}
	if req.SearchID != "" {
		return s.poll(req.SearchID)
	}
	return s.begin(req)
}

func (s *Server) begin(req request) (map[string]any, error) {
	if req.Query == nil || len(req.TimeRange) == 0 {
		return nil, refuse("Missing required parameter in requestData: query and time_range")
	}
	now := s.opts.Now()
	from, to, err := timeRange(req.TimeRange, now)
	if err != nil {
		return nil, err
	}
	if err := checkRepos(req.Repos); err != nil {
		return nil, err
	}
	limit := int64(100)
	if req.Limit != "" {
		if limit, err = req.Limit.Int64(); err != nil || limit < 1 {
			return nil, refuse("Invalid limit %q: a positive number is expected", req.Limit)
		}
	}
	plan, err := parse(*req.Query, lists(s.world))
	if err != nil {
		return nil, refuse("Error in query: %v", err)
	}
	j := &job{Search: Search{ID: newID(), Query: *req.Query, From: from, To: to}, plan: plan, limit: int(min(limit, 1<<20)), started: now}
	for _, e := range events(s.world, now) {
		if !e.at.Before(from) && !e.at.After(to) && plan.where(e) {
			j.events = append(j.events, e)
		}
	}
	s.keep(j)
	return map[string]any{"success": true, "search_id": j.ID, "searchId": j.ID, "client_type": "UI", "clientType": "UI",
		"query_filter": "", "latest": false, "lookup": false, "query_type": plan.kind(), "time_range": []int64{from.Unix(), to.Unix()}}, nil
}

func (s *Server) keep(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 && (len(s.order) >= maxJobs || j.started.Sub(s.order[0].started) > jobLife) {
		delete(s.jobs, s.order[0].ID)
		s.order = s.order[1:]
	}
	s.jobs[j.ID], s.order = j, append(s.order, j)
}

// poll answers with the rows so far: more of the logs with every poll, all of them in the final one. Rows of an earlier answer
// are replaced, not added to.
func (s *Server) poll(id string) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil || s.opts.Now().Sub(j.started) > jobLife {
		return nil, refuse("Invalid search_id: %s", id)
	}
	j.Polls++
	j.Final = j.Final || j.Polls > s.opts.Polls
	seen := j.events
	if !j.Final {
		seen = seen[:len(seen)*j.Polls/(s.opts.Polls+1)]
	}
	rows := j.plan.rows(seen, j.limit)
	j.Rows = len(rows)
	return map[string]any{"success": true, "final": j.Final, "complete": j.Final, "version": j.Polls, "orig_search_id": id,
		"query_type": j.plan.kind(), "rows": rows, "columns": j.plan.columns(), "grouping": j.plan.grouping(),
		"num_aggregated": len(seen), "estim_count": len(seen), "time_range": []int64{j.From.Unix(), j.To.Unix()},
		"interesting_fields": []any{}, "totalPages": 1, "showAdditionalPanels": j.plan.chart != nil}, nil
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// refusal is a message of LogPoint's own, in its style.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }
