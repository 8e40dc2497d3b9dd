package incident

import (
	"slices"
	"strconv"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// apply folds a fact of a run; done is false for facts that concern the incident too.
func (r *Run) apply(f *journal.Fact) (done bool, err error) {
	switch f.Kind {
	case FactRunCancel:
		r.Cancel = true
		return true, nil
	case FactRunFinished:
		d, err := journal.Decode[RunFinished](f)
		at := f.Time
		r.Status, r.Outputs, r.Fault, r.Failed, r.EndedAt = d.Status, d.Outputs, d.Fault, d.Failed, &at
		return true, err
	case FactStepStarted:
		d, err := journal.Decode[StepStarted](f)
		s := r.step(f)
		s.Kind, s.Status, s.Input, s.Due = d.Kind, Running, d.Input, d.Until
		s.Items, s.Total = d.Items, len(d.Items)
		if d.Until != nil || d.Kind == "approve" {
			s.Status = Waiting
		}
		return true, err
	case FactStepDone:
		d, err := journal.Decode[StepFinished](f)
		s := r.step(f)
		s.Output, s.Fault, s.Chosen, s.Note, s.NotTaken = d.Output, d.Fault, d.Chosen, d.Note, d.NotTaken
		r.end(s, d.Status, f)
		return true, err
	case FactActStarted:
		d, err := journal.Decode[ActionStarted](f)
		s := r.step(f)
		s.Kind, s.Status, s.InFlight, s.Due = "uses", Running, true, nil
		if s.Verifying = d.Verify; d.Verify {
			s.Probe = &d
			s.Probes++
		} else {
			s.Action, s.Attempts, s.Unknown = &d, d.Attempt, false
			if d.Kind == abi.Contain && d.Attempt == 1 {
				r.Contained++
			}
		}
		return true, err
	case FactActFinished:
		d, err := journal.Decode[ActionFinished](f)
		r.actionFinished(r.step(f), d, f)
		return true, err
	case FactSettled:
		d, err := journal.Decode[Settled](f)
		r.settled(r.step(f), d, f)
		return true, err
	}
	return false, nil
}

// settled goes on with a step that was in doubt.
func (r *Run) settled(s *Step, d Settled, f *journal.Fact) {
	s.Unknown, s.Note = false, d.Note
	r.unask(s.Path)
	switch at := f.Time; d.Answer {
	case Happened:
		s.Fault = nil
		r.end(s, Succeeded, f)
	case Again:
		s.Due = &at
	default:
		s.Fault = &abi.Fault{Kind: abi.Failed, Message: f.By + " says that it did not happen", Where: s.Path}
		r.end(s, Failed, f)
	}
}

func (r *Run) unask(path string) {
	if i := slices.Index(r.Asks, path); i >= 0 {
		r.Asks = slices.Delete(r.Asks, i, i+1)
	}
}

func (r *Run) actionFinished(s *Step, d ActionFinished, f *journal.Fact) {
	s.Kind, s.InFlight, s.Fault, s.Due, s.Verifying = "uses", false, d.Fault, d.Retry, d.Verifying
	s.Doubt, s.Unknown = s.Doubt || d.Doubt, d.Unknown
	r.unask(s.Path)
	if !d.Verify {
		s.Output, s.Cached, s.HostCalls, s.Wall = d.Output, d.Cached, d.HostCalls, d.Wall
	}
	switch {
	case d.Retry != nil:
		s.Status = Waiting
	case d.Verifying:
		s.Status = Running
	case d.Unknown:
		s.Status = Waiting
		r.Asks = append(r.Asks, s.Path)
	default:
		r.end(s, d.Status, f)
	}
}

// step finds or makes the state of the fact's step; an item of a loop is counted there.
func (r *Run) step(f *journal.Fact) *Step {
	if s := r.Steps[f.Step]; s != nil {
		return s
	}
	s := &Step{Path: f.Step, Status: Running, StartedAt: f.Time}
	r.Steps[f.Step] = s
	r.Order = append(r.Order, f.Step)
	if path, item, ok := Loop(f.Step); ok {
		if loop := r.Steps[path]; loop != nil {
			if loop.Active == nil {
				loop.Active = map[int]bool{}
			}
			loop.Active[item] = true
			loop.Next = max(loop.Next, item+1)
		}
	}
	return s
}

// end sets a final status; an item of a loop is counted there.
func (r *Run) end(s *Step, status Status, f *journal.Fact) {
	at := f.Time
	s.Status, s.EndedAt, s.Due, s.InFlight = status, &at, nil, false
	if path, item, ok := Loop(s.Path); ok {
		if loop := r.Steps[path]; loop != nil {
			delete(loop.Active, item)
			loop.Done++
			if status != Succeeded && status != Skipped {
				if loop.Broken++; loop.FirstBad == "" {
					loop.FirstBad = s.Path
				}
			}
		}
	}
}

// Item gives the path of an item of the loop at path.
func Item(path string, item int) string { return path + "[" + strconv.Itoa(item) + "]" }
