package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/incident"
)

// run gives a run with its steps.
func (s *Server) run(id string) (*RunView, error) {
	in, err := s.o.Engine.Incident(engine.IncidentOf(id))
	if err != nil {
		return nil, err
	}
	r := in.Run(id)
	if r == nil {
		return nil, &abi.Fault{Kind: abi.NotFound, Message: "there is no run " + id, Hint: "riposte run ls"}
	}
	v := &RunView{Run: r, Steps: make([]*incident.Step, len(r.Order))}
	for i, path := range r.Order {
		v.Steps[i] = r.Steps[path]
	}
	return v, nil
}

// ApprovalLine is an approval with the incident that it belongs to.
type ApprovalLine struct {
	*incident.Approval
	Incident string `json:"incident"`
	Subject  string `json:"incident_title"`
}

// decisions are the routes of approvals, containments and tapes.
func (s *Server) decisions() {
	e := s.o.Engine
	route(s, http.MethodGet, "/approvals", "list-approvals", "List the approvals of the newest incidents.", "approvals",
		func(_ context.Context, in *struct {
			Paging
			State string `query:"state" default:"pending" enum:"pending,granted,denied,expired,cancelled,any"`
		}) (*body[[]ApprovalLine], error) {
			list := []ApprovalLine{}
			err := s.each(in.Before, func(h *incident.Head) bool { return in.State != "pending" || h.Waiting > 0 }, func(i *incident.Incident) bool {
				for _, a := range i.Approvals {
					if (in.State == "any" || a.State == in.State) && len(list) < in.Limit {
						list = append(list, ApprovalLine{a, i.ID, i.Title})
					}
				}
				return len(list) < in.Limit
			})
			return answer(list, err)
		})
	route(s, http.MethodGet, "/approvals/{id}", "get-approval", "One approval: exactly what is asked for.", "approvals",
		func(_ context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[*incident.Approval], error) {
			i, err := e.Incident(engine.IncidentOf(in.ID))
			if err != nil {
				return nil, problem(err)
			}
			if a := i.Approval(in.ID); a != nil {
				return answer(a, nil)
			}
			return nil, problem(&abi.Fault{Kind: abi.NotFound, Message: "there is no approval " + in.ID, Hint: "riposte approval ls"})
		})
	route(s, http.MethodPost, "/approvals/{id}", "decide-approval", "Grant or deny an approval.", "approvals",
		func(_ context.Context, in *struct {
			Actor
			ID   string `path:"id"`
			Body struct {
				Decision string `json:"decision" enum:"grant,deny"`
				Digest   string `json:"digest,omitempty" doc:"digest of what the person was shown; if it is not that of what would run, the decision is refused"`
				Note     string `json:"note,omitempty" maxLength:"4096"`
			}
		}) (*body[Done], error) {
			return answer(Done{in.ID}, e.Decide(in.ID, in.By, in.Body.Decision == "grant", in.Body.Digest, in.Body.Note))
		})
	route(s, http.MethodGet, "/containments", "list-containments", "List what is contained.", "containments",
		func(_ context.Context, in *struct {
			Paging
			All bool `query:"all" doc:"with those that were released"`
		}) (*body[[]*incident.Containment], error) {
			list := []*incident.Containment{}
			err := s.each(in.Before, func(h *incident.Head) bool { return in.All || h.Containments > 0 }, func(i *incident.Incident) bool {
				for _, c := range i.Containments {
					if (in.All || c.Standing()) && len(list) < in.Limit {
						list = append(list, c)
					}
				}
				return len(list) < in.Limit
			})
			return answer(list, err)
		})
	route(s, http.MethodPost, "/containments/{id}/release", "release-containment", "Undo a containment now.", "containments",
		func(_ context.Context, in *struct {
			Actor
			ID string `path:"id"`
		}) (*body[Done], error) {
			return answer(Done{in.ID}, e.Release(in.ID, in.By))
		})
	route(s, http.MethodGet, "/tapes/{invocation}", "get-tape", "The record of one invocation's host calls, secrets masked.", "runs",
		func(_ context.Context, in *struct {
			Invocation string `path:"invocation" doc:"as the step shows it; percent-encode it"`
		}) (*body[[]tape.Entry], error) {
			id, err := url.PathUnescape(in.Invocation) // the router leaves it as it came
			if err != nil {
				return nil, problem(abi.NewFault(abi.Invalid, err.Error(), "percent-encode the invocation"))
			}
			return answer(e.Tape(id))
		})
}

// each reads incidents, newest first, that keep wants, until fn has enough.
func (s *Server) each(before string, keep func(*incident.Head) bool, fn func(*incident.Incident) bool) error {
	const page = 200
	for {
		var last string
		heads, err := s.o.Engine.Heads(before, page, func(h *incident.Head) bool { last = h.ID; return keep(h) })
		if err != nil {
			return err
		}
		for _, h := range heads {
			i, err := s.o.Engine.Incident(h.ID)
			if err != nil {
				return err
			}
			if !fn(i) {
				return nil
			}
		}
		if len(heads) < page {
			return nil
		}
		before = last
	}
}
