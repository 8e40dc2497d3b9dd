package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
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
			err := s.each(in.Before, func(h *incident.Head) bool { return in.State != "pending" || h.Waiting > 0 }, func(i *incident.Incident) error {
				for _, a := range slices.Backward(i.Approvals) {
					if older(a.ID, in.Before) && (in.State == "any" || a.State == in.State) {
						if list = append(list, ApprovalLine{a, i.ID, i.Title}); len(list) == in.Limit {
							return journal.ErrStop
						}
					}
				}
				return nil
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
			err := s.each(in.Before, func(h *incident.Head) bool { return in.All || h.Containments > 0 }, func(i *incident.Incident) error {
				for _, c := range slices.Backward(i.Containments) {
					if older(c.ID, in.Before) && (in.All || c.Standing()) {
						if list = append(list, c); len(list) == in.Limit {
							return journal.ErrStop
						}
					}
				}
				return nil
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
	route(s, http.MethodGet, "/tapes/{invocation}/file", "export-tape", "The same record as it lies in a file: checked lines, and the large bodies that they name.", "runs",
		func(_ context.Context, in *struct {
			Invocation string `path:"invocation" doc:"as the step shows it; percent-encode it"`
		}) (*body[*TapeFile], error) {
			id, err := url.PathUnescape(in.Invocation)
			if err != nil {
				return nil, problem(abi.NewFault(abi.Invalid, err.Error(), "percent-encode the invocation"))
			}
			return answer(s.tapeFile(id))
		})
}

// TapeFile is a tape with everything that belongs to it.
type TapeFile struct {
	Lines string            `json:"lines" doc:"JSON lines, each of which names the digest of the one before"`
	Blobs map[string][]byte `json:"blobs,omitempty" doc:"large bodies, by digest"`
}

func (s *Server) tapeFile(id string) (*TapeFile, error) {
	entries, err := s.o.Engine.Tape(id)
	if err != nil {
		return nil, err
	}
	var lines strings.Builder
	var chain tape.Chain
	file := &TapeFile{Blobs: map[string][]byte{}}
	for i := range entries {
		line, err := chain.Line(&entries[i])
		if err != nil {
			return nil, err
		}
		lines.Write(line)
		maps.Copy(file.Blobs, entries[i].Blobs)
	}
	file.Lines = lines.String()
	return file, nil
}

// page is how many incidents are read at once.
const page = 200

// heads gives incidents to fn, newest first, beginning with the one that before (an id of something of an incident) belongs to, if that is not
// empty. ErrStop of fn ends it.
func (s *Server) heads(before string, fn func(*incident.Head) error) error {
	from := ""
	if n, _ := numbers(before); n > 0 {
		from = fmt.Sprintf("INC-%06d", n+1)
	}
	for {
		heads, err := s.o.Engine.Heads(from, page, nil)
		if err != nil {
			return err
		}
		for i := range heads {
			if err := fn(&heads[i]); errors.Is(err, journal.ErrStop) {
				return nil
			} else if err != nil {
				return err
			}
		}
		if len(heads) < page {
			return nil
		}
		from = heads[len(heads)-1].ID
	}
}

// each is heads with the whole of those incidents that keep wants.
func (s *Server) each(before string, keep func(*incident.Head) bool, fn func(*incident.Incident) error) error {
	return s.heads(before, func(h *incident.Head) error {
		if !keep(h) {
			return nil
		}
		i, err := s.o.Engine.Incident(h.ID)
		if err != nil {
			return err
		}
		return fn(i)
	})
}

// older says whether id comes after before in a list that begins with the newest.
func older(id, before string) bool {
	if before == "" {
		return true
	}
	incident, child := numbers(id)
	in, than := numbers(before)
	return incident < in || incident == in && child < than
}

// numbers are those in the id of a run, an approval or a containment, such as RUN-000012-3.
func numbers(id string) (incident, child int) {
	parts := strings.Split(id, "-")
	if len(parts) != 3 {
		return 0, 0
	}
	incident, _ = strconv.Atoi(parts[1])
	child, _ = strconv.Atoi(parts[2])
	return incident, child
}
