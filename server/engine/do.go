package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

// StartRun starts a runbook on an incident by a person's word.
func (e *Engine) StartRun(id, book string, inputs map[string]any, by string) (run string, err error) {
	src := e.content.Runbooks[book]
	if src == nil {
		return "", &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no runbook %q", book), Hint: "riposte runbook ls"}
	}
	err = e.do(id, func(p *planner) error {
		alarmUID, doc := "", map[string]any{}
		if len(p.in.Alarms) > 0 {
			rec, err := e.Alarm(p.in.Alarms[0])
			if err != nil {
				return err
			}
			alarmUID, doc = rec.Alarm.UID, rec.document()
		}
		r, fault := p.startWith(src, inputs, alarmUID, doc, by)
		if fault != nil {
			return fault
		}
		run = r.ID
		return nil
	})
	return run, err
}

// Act runs one action on an incident by a person's word, under the same guards, approvals, tape and record as in a runbook.
func (e *Engine) Act(id string, inv incident.Invocation, by string) (run string, err error) {
	src, fault := e.single("action", inv.Plugin+"/"+inv.Action, &inv)
	if fault != nil {
		return "", fault
	}
	err = e.do(id, func(p *planner) error {
		run = p.startRun(src, incident.RunStarted{}, by, map[string]any{}).ID
		return nil
	})
	return run, err
}

// CancelRun ends a run: nothing more of it begins, and what is at work is stopped.
func (e *Engine) CancelRun(id, by string) error {
	return e.do(IncidentOf(id), func(p *planner) error {
		r := p.in.Run(id)
		switch {
		case r == nil:
			return &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no run %q", id), Hint: "riposte run ls"}
		case r.Status.Ended():
			return &abi.Fault{Kind: abi.Conflict, Message: fmt.Sprintf("%s is %s already", id, r.Status)}
		}
		p.emitBy(by, incident.FactRunCancel, id, nil)
		if x := p.l.execs[id]; x != nil {
			for _, cancel := range x.owned {
				cancel()
			}
		}
		return nil
	})
}

// Release undoes a containment now.
func (e *Engine) Release(id, by string) error {
	return e.do(IncidentOf(id), func(p *planner) error {
		c := p.in.Containment(id)
		switch {
		case c == nil:
			return &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no containment %q", id), Hint: "riposte containment ls"}
		case !c.Standing():
			return &abi.Fault{Kind: abi.Conflict, Message: id + " is released already"}
		}
		if fault := p.release(c, by); fault != nil {
			return fault
		}
		return nil
	})
}

// Comment puts a person's words on the record.
func (e *Engine) Comment(id, by, text string) error {
	return e.do(id, func(p *planner) error {
		p.emitBy(by, incident.FactComment, "", incident.Comment{Text: text})
		return nil
	})
}

// Change sets what a person decided about an incident; empty fields stay as they are.
func (e *Engine) Change(id, by string, c incident.Changed) error {
	if c.Status != "" && c.Status != "open" && c.Status != "closed" {
		return &abi.Fault{Kind: abi.Invalid, Message: fmt.Sprintf("an incident cannot be %q", c.Status), Where: "status", Hint: "open or closed"}
	}
	return e.do(id, func(p *planner) error {
		p.emitBy(by, incident.FactChanged, "", c)
		return nil
	})
}

// Incident gives the state of an incident as it is on disk; nobody else holds it.
func (e *Engine) Incident(id string) (*incident.Incident, error) { return e.fold(id) }

// Facts gives the facts of an incident after number seq, in order: its timeline.
func (e *Engine) Facts(id string, after uint64) ([]journal.Fact, error) {
	list := []journal.Fact{}
	if id != incidentID(number(id)) {
		return nil, noIncident(id)
	}
	err := journal.Facts(e.store, id, after, func(f *journal.Fact) error {
		list = append(list, *f)
		return nil
	})
	if err == nil && len(list) == 0 {
		if _, err := e.store.Get([]byte(headKey(id))); errors.Is(err, journal.ErrNotFound) {
			return nil, noIncident(id)
		}
	}
	return list, err
}

// Follow calls fn for each fact of an incident after number seq, and goes on as new ones are stored, until ctx ends or fn gives an error.
// ErrStop ends it without one. An incident that is not there yet is waited for.
func (e *Engine) Follow(ctx context.Context, id string, after uint64, fn func(*journal.Fact) error) error {
	for {
		next := e.changed.wait()
		facts, err := e.Facts(id, after)
		if err != nil && abi.AsFault(err).Kind != abi.NotFound {
			return err
		}
		for i := range facts {
			if err := fn(&facts[i]); err != nil {
				if errors.Is(err, journal.ErrStop) {
					return nil
				}
				return err
			}
			after = facts[i].Seq
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return nil
		case <-next:
		}
	}
}

// Changed gives a channel that is closed when something has been stored after this call.
func (e *Engine) Changed() <-chan struct{} { return e.changed.wait() }

// Heads lists incidents, newest first, from the one before the given id on (empty: from the newest), at most limit; keep may leave some out.
func (e *Engine) Heads(before string, limit int, keep func(*incident.Head) bool) ([]incident.Head, error) {
	var after []byte
	if before != "" {
		after = []byte(headKey(before))
	}
	list := []incident.Head{}
	err := e.store.Scan([]byte(prefixHead), after, true, func(_, value []byte) error {
		var h incident.Head
		if err := json.Unmarshal(value, &h); err != nil {
			return err
		}
		if keep == nil || keep(&h) {
			list = append(list, h)
		}
		if len(list) >= limit {
			return journal.ErrStop
		}
		return nil
	})
	return list, err
}

// Alarms lists alarms, newest first, from the one before the given uid on (empty: from the newest), at most limit; keep may leave some out.
func (e *Engine) Alarms(before string, limit int, keep func(*AlarmRecord) bool) ([]AlarmRecord, error) {
	var after []byte
	if before != "" {
		after = []byte(prefixAlarm + before)
	}
	list := []AlarmRecord{}
	err := e.store.Scan([]byte(prefixAlarm), after, true, func(_, value []byte) error {
		var rec AlarmRecord
		if err := json.Unmarshal(value, &rec); err != nil {
			return err
		}
		if keep == nil || keep(&rec) {
			list = append(list, rec)
		}
		if len(list) >= limit {
			return journal.ErrStop
		}
		return nil
	})
	return list, err
}

// Backlog is the number of alarms that wait on disk for a run.
func (e *Engine) Backlog() int64 { return e.backlog.n.Load() }
