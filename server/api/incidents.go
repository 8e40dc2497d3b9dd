package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

// Entry is a fact of an incident with a sentence for people.
type Entry struct {
	journal.Fact
	Text string `json:"text" doc:"what happened, in a sentence"`
}

// Actor is who does something: with one token for all, people say their name.
type Actor struct {
	By string `header:"X-Riposte-User" default:"api" maxLength:"128" doc:"name of the person on whose behalf this is done; it goes on record"`
}

// Done answers a request that changed something.
type Done struct {
	ID string `json:"id" doc:"of what was changed or started"`
}

func (s *Server) incidents() {
	e := s.o.Engine
	route(s, http.MethodGet, "/incidents", "list-incidents", "List incidents, newest first.", "incidents",
		func(_ context.Context, in *struct {
			Paging
			Status   string `query:"status" enum:"open,closed"`
			Severity string `query:"severity" doc:"only those of this severity"`
			Queue    string `query:"queue"`
		}) (*body[[]incident.Head], error) {
			return answer(e.Heads(in.Before, in.Limit, func(h *incident.Head) bool {
				return (in.Status == "" || h.Status == in.Status) && (in.Severity == "" || h.Severity == in.Severity) && (in.Queue == "" || h.Queue == in.Queue)
			}))
		})
	route(s, http.MethodGet, "/incidents/{id}", "get-incident", "One incident: alarms, artifacts, runs, approvals, containments.", "incidents",
		func(_ context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[*incident.Incident], error) {
			return answer(e.Incident(in.ID))
		})
	route(s, http.MethodGet, "/incidents/{id}/timeline", "get-timeline", "The facts of an incident after a number, in order; with wait, the answer comes when there is one, also if the incident is yet to be opened.", "incidents",
		func(ctx context.Context, in *struct {
			ID    string `path:"id"`
			After uint64 `query:"after"`
			Wait  int    `query:"wait" maximum:"60" minimum:"0" doc:"seconds to wait for a fact if there is none"`
		}) (*body[[]Entry], error) {
			return answer(s.timeline(ctx, in.ID, in.After, time.Duration(in.Wait)*time.Second))
		})
	route(s, http.MethodPatch, "/incidents/{id}", "change-incident", "Close or open an incident again, or change its severity, queue or owner.", "incidents",
		func(_ context.Context, in *struct {
			Actor
			ID   string `path:"id"`
			Body incident.Changed
		}) (*body[Done], error) {
			return answer(Done{in.ID}, e.Change(in.ID, in.By, in.Body))
		})
	route(s, http.MethodPost, "/incidents/{id}/comments", "comment", "Put a comment on record.", "incidents",
		func(_ context.Context, in *struct {
			Actor
			ID   string `path:"id"`
			Body struct {
				Text string `json:"text" minLength:"1" maxLength:"65536"`
			}
		}) (*body[Done], error) {
			return answer(Done{in.ID}, e.Comment(in.ID, in.By, in.Body.Text))
		})
	route(s, http.MethodPost, "/incidents/{id}/runs", "start-run", "Start a runbook on an incident.", "incidents",
		func(_ context.Context, in *struct {
			Actor
			ID   string `path:"id"`
			Body struct {
				Runbook string         `json:"runbook"`
				Inputs  map[string]any `json:"inputs,omitempty"`
			}
		}) (*body[Done], error) {
			run, err := e.StartRun(in.ID, in.Body.Runbook, in.Body.Inputs, in.By)
			return answer(Done{run}, err)
		})
	route(s, http.MethodPost, "/incidents/{id}/actions", "run-action", "Run one action on an incident, under the same guards, approvals and record as in a runbook.", "incidents",
		func(_ context.Context, in *struct {
			Actor
			ID   string `path:"id"`
			Body struct {
				Plugin     string         `json:"plugin"`
				Action     string         `json:"action"`
				Connector  string         `json:"connector"`
				Parameters map[string]any `json:"parameters,omitempty"`
			}
		}) (*body[Done], error) {
			raw, err := json.Marshal(in.Body.Parameters)
			if err != nil {
				return nil, problem(err)
			}
			run, err := e.Act(in.ID, incident.Invocation{Plugin: in.Body.Plugin, Action: in.Body.Action, Connector: in.Body.Connector, Parameters: raw}, in.By)
			return answer(Done{run}, err)
		})
}

// timeline reads facts, and waits for the next if there is none yet.
func (s *Server) timeline(ctx context.Context, id string, after uint64, wait time.Duration) ([]Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		next := s.o.Engine.Changed()
		facts, err := s.o.Engine.Facts(id, after)
		if err != nil && (wait == 0 || abi.AsFault(err).Kind != abi.NotFound) {
			return nil, err
		}
		if len(facts) > 0 || wait == 0 {
			out := make([]Entry, len(facts))
			for i := range facts {
				out[i] = Entry{facts[i], incident.Sentence(&facts[i])}
			}
			return out, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			wait = 0
		case <-s.ctx.Done():
			wait = 0
		}
	}
}

// RunView is a run with its steps, in the order in which they began.
type RunView struct {
	*incident.Run
	Steps []*incident.Step `json:"steps"`
}

// RunLine is a run in a list.
type RunLine struct {
	incident.RunHead
	Incident string    `json:"incident"`
	Title    string    `json:"title" doc:"of the incident"`
	Opened   time.Time `json:"opened" doc:"of the incident"`
}

func (s *Server) runs() {
	e := s.o.Engine
	route(s, http.MethodGet, "/runs", "list-runs", "List the runs of the newest incidents.", "runs",
		func(_ context.Context, in *struct {
			Paging
			Status string `query:"status"`
		}) (*body[[]RunLine], error) {
			list := []RunLine{}
			err := s.heads(in.Before, func(h *incident.Head) error {
				for _, r := range slices.Backward(h.Runs) {
					if older(r.ID, in.Before) && (in.Status == "" || string(r.Status) == in.Status) {
						if list = append(list, RunLine{r, h.ID, h.Title, h.Opened}); len(list) == in.Limit {
							return journal.ErrStop
						}
					}
				}
				return nil
			})
			return answer(list, err)
		})
	route(s, http.MethodGet, "/runs/{id}", "get-run", "One run with its steps.", "runs",
		func(_ context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[*RunView], error) {
			return answer(s.run(in.ID))
		})
	route(s, http.MethodPost, "/runs/{id}/replay", "replay-run", "Execute the plugins of a run again, offline, from their tapes, and compare with what was recorded. It changes nothing.", "runs",
		func(ctx context.Context, in *struct {
			ID   string `path:"id"`
			Body struct {
				Step    string `json:"step,omitempty" doc:"path of a step: only its invocations"`
				Lenient bool   `json:"lenient,omitempty" doc:"with the module that is installed now; calls may come in another order, or be left out"`
				Calls   bool   `json:"calls,omitempty" doc:"show the calls of then and now side by side, also where nothing differs"`
			}
		}) (*body[[]engine.Replayed], error) {
			return answer(e.Replay(ctx, in.ID, engine.ReplayOptions{Step: in.Body.Step, Lenient: in.Body.Lenient, Calls: in.Body.Calls}))
		})
	route(s, http.MethodPost, "/runs/{id}/settle", "settle-step", "Say whether the effect of a step has come about that nobody knows of: the step goes on with that.", "runs",
		func(_ context.Context, in *struct {
			Actor
			ID   string `path:"id"`
			Body struct {
				Step   string `json:"step" doc:"its path"`
				Answer string `json:"answer" enum:"happened,not-happened,again" doc:"again: it has not, or does no harm twice; try it again"`
				Note   string `json:"note,omitempty" doc:"why, for the record"`
			}
		}) (*body[Done], error) {
			return answer(Done{in.ID}, e.Settle(in.ID, in.Body.Step, in.By, incident.Settled{Answer: incident.Answer(in.Body.Answer), Note: in.Body.Note}))
		})
	route(s, http.MethodPost, "/runs/{id}/cancel", "cancel-run", "End a run: nothing more of it begins, and what is at work is stopped.", "runs",
		func(_ context.Context, in *struct {
			Actor
			ID string `path:"id"`
		}) (*body[Done], error) {
			return answer(Done{in.ID}, e.CancelRun(in.ID, in.By))
		})
}
