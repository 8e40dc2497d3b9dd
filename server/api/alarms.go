package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/intake"
)

// Accepted answers alarms that are on disk.
type Accepted struct {
	Accepted int      `json:"accepted" doc:"how many alarms are on disk"`
	Unparsed int      `json:"unparsed" doc:"how many of them could not be parsed; they are kept with the reason"`
	UIDs     []string `json:"uids" doc:"of the alarms, in the order of the body"`
}

// Paging is how lists are asked for.
type Paging struct {
	Before string `query:"before" doc:"id of the last entry of the page before"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"1000"`
}

func (s *Server) alarms() {
	route(s, http.MethodPost, "/alarms", "send-alarms", "Take alarms in: one JSON alarm, an array, NDJSON, or raw CEF or LEEF lines. The answer comes when they are on disk.", "alarms",
		func(ctx context.Context, in *struct {
			ContentType string `header:"Content-Type"`
			Source      string `header:"X-Riposte-Peer" doc:"who sent it, if not the other end of the connection" maxLength:"256"`
			RawBody     []byte
		}) (*body[Accepted], error) {
			return answer(s.accept(ctx, in.ContentType, in.Source, in.RawBody))
		})
	route(s, http.MethodGet, "/alarms", "list-alarms", "List alarms, newest first.", "alarms",
		func(_ context.Context, in *struct {
			Paging
			State string `query:"state" enum:"unparsed,unmatched,waiting,matched" doc:"only those"`
		}) (*body[[]engine.AlarmRecord], error) {
			return answer(s.o.Engine.Alarms(in.Before, in.Limit, func(r *engine.AlarmRecord) bool { return in.State == "" || string(r.State) == in.State }))
		})
	route(s, http.MethodGet, "/alarms/{uid}", "get-alarm", "One alarm, as it arrived and as it was understood.", "alarms",
		func(_ context.Context, in *struct {
			UID string `path:"uid"`
		}) (*body[*engine.AlarmRecord], error) {
			return answer(s.o.Engine.Alarm(in.UID))
		})
	route(s, http.MethodPost, "/alarms/{uid}/redrive", "redrive-alarm", "Parse an unparsed alarm again, and take it in.", "alarms",
		func(ctx context.Context, in *struct {
			UID string `path:"uid"`
		}) (*body[*engine.AlarmRecord], error) {
			return answer(s.o.Engine.Redrive(ctx, in.UID, func(a *alarm.Alarm) *alarm.Alarm {
				return intake.Redecode(s.o.Now(), a)
			}))
		})
	route(s, http.MethodPost, "/alarms/explain", "explain-alarm", "Say how lines would be understood and which rules match, without taking them in.", "alarms",
		func(ctx context.Context, in *struct{ RawBody []byte }) (*body[[]Explanation], error) {
			return answer(s.explain(ctx, in.RawBody), nil)
		})
}

// Explanation says how one line is understood.
type Explanation struct {
	Line     int          `json:"line"`
	Alarm    *alarm.Alarm `json:"alarm"`
	Rules    []RuleMatch  `json:"rules"`
	Problems []string     `json:"problems,omitempty"`
}

// RuleMatch is a rule that wants an alarm.
type RuleMatch struct {
	Rule     string `json:"rule"`
	Template string `json:"template"`
	Title    string `json:"title"`
	Severity string `json:"severity"`
	Key      string `json:"key,omitempty"`
	Runbook  string `json:"runbook,omitempty"`
}

func (s *Server) explain(ctx context.Context, data []byte) []Explanation {
	out := []Explanation{}
	for _, e := range intake.Explain(s.o.Now(), data) {
		x := Explanation{Line: e.Line, Alarm: e.Alarm, Rules: []RuleMatch{}}
		matches, problems := s.o.Content.Rules.Match(ctx, e.Alarm.Doc())
		for _, m := range matches {
			x.Rules = append(x.Rules, RuleMatch{m.Rule, m.Template.ID, m.Title, m.Severity, m.Key, m.Template.Runbook})
		}
		for _, p := range problems {
			x.Problems = append(x.Problems, p.Error())
		}
		out = append(out, x)
	}
	return out
}

// accept takes every alarm of a body in, and waits until all are on disk.
func (s *Server) accept(ctx context.Context, contentType, peer string, data []byte) (Accepted, error) {
	if err := s.o.Ready(); err != nil {
		return Accepted{}, abi.NewFault(abi.Unavailable, err.Error(), "send the alarms again later; nothing of them was stored")
	}
	list, fault := intake.DecodeBody(s.o.Now(), alarm.Intake{Source: alarm.HTTP, Peer: peer}, contentType, data)
	if fault != nil {
		return Accepted{}, fault
	}
	out := Accepted{UIDs: make([]string, len(list))}
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	for i, a := range list {
		out.UIDs[i] = a.UID
		if a.Parse.Format == alarm.Unparsed {
			out.Unparsed++
		}
		wait.Add(1)
		s.o.Engine.Accept(ctx, a, func(err error) {
			defer wait.Done()
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
			} else if err == nil {
				out.Accepted++
			}
		})
	}
	wait.Wait()
	if first != nil {
		f := *abi.AsFault(first)
		f.Message = strconv.Itoa(out.Accepted) + " of " + strconv.Itoa(len(list)) + " alarms were stored: " + f.Message
		return out, &f
	}
	return out, nil
}
