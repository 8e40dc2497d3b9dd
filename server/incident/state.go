package incident

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// maxAlarmsListed bounds the alarm uids that the state of an incident keeps; Joined counts all. maxRunsListed bounds the runs of a Head: it is
// stored with every change.
const (
	maxAlarmsListed = 1000
	maxRunsListed   = 100
)

// Incident is the state of an incident: the fold of its facts.
type Incident struct {
	ID string `json:"id"`
	Opened
	Status       string         `json:"status"` // open, closed
	Owner        string         `json:"owner,omitempty"`
	OpenedAt     time.Time      `json:"opened"`
	UpdatedAt    time.Time      `json:"updated"`
	Alarms       []string       `json:"alarms"` // uids of the first thousand
	Joined       int            `json:"alarm_count"`
	Artifacts    []Artifact     `json:"artifacts"`
	Findings     []Finding      `json:"findings,omitempty"`
	Evidence     []Evidence     `json:"evidence,omitempty"`
	Runs         []*Run         `json:"runs"`
	Approvals    []*Approval    `json:"approvals,omitempty"`
	Containments []*Containment `json:"containments,omitempty"`
	Seq          uint64         `json:"seq"` // number of its last fact

	runs map[string]*Run // by id
}

// Run is one execution of a runbook.
type Run struct {
	ID       string `json:"id"`
	Incident string `json:"incident"`
	RunStarted
	Status    Status           `json:"status"`
	By        string           `json:"by,omitempty"`
	StartedAt time.Time        `json:"started"`
	EndedAt   *time.Time       `json:"ended,omitempty"`
	Outputs   json.RawMessage  `json:"outputs,omitempty"`
	Fault     *abi.Fault       `json:"fault,omitempty"`
	Failed    string           `json:"failed,omitempty"`
	Cancel    bool             `json:"cancelling,omitempty"`
	Steps     map[string]*Step `json:"-"` // by path
	Order     []string         `json:"-"` // paths as they started
	Contained int              `json:"-"` // containments that were begun, for the guards
	// Asks are the paths of steps that wait for a person to settle what is in doubt.
	Asks []string `json:"in_doubt,omitempty"`
}

// Step is the state of one step, or of one item of a loop.
type Step struct {
	Path      string          `json:"path"`
	Kind      string          `json:"kind"` // uses, call, parallel, foreach, decide, set, approve, wait, end, fail
	Status    Status          `json:"status"`
	StartedAt time.Time       `json:"started"`
	EndedAt   *time.Time      `json:"ended,omitempty"`
	Action    *ActionStarted  `json:"action,omitempty"` // the latest invocation
	Probe     *ActionStarted  `json:"probe,omitempty"`  // the latest check of a containment
	Output    json.RawMessage `json:"output,omitempty"`
	Fault     *abi.Fault      `json:"fault,omitempty"`
	Cached    bool            `json:"cached,omitempty"`
	Note      string          `json:"note,omitempty"`
	Chosen    string          `json:"chosen,omitempty"`
	NotTaken  bool            `json:"not_taken,omitempty"`
	// Due is when a retry or a wait is over. InFlight says that an invocation has begun and not ended; Verifying that it is the probe.
	Due       *time.Time                 `json:"due,omitempty"`
	InFlight  bool                       `json:"in_flight,omitempty"`
	Verifying bool                       `json:"verifying,omitempty"`
	Doubt     bool                       `json:"doubt,omitempty"`   // an attempt failed that may have had its effect
	Unknown   bool                       `json:"unknown,omitempty"` // nobody knows whether an effect has come about, see ActionFinished
	Attempts  int                        `json:"attempts,omitempty"`
	Probes    int                        `json:"probes,omitempty"`
	Wall      time.Duration              `json:"wall,omitempty"` // nanoseconds inside the sandbox, the last attempt
	HostCalls int                        `json:"host_calls,omitempty"`
	Input     map[string]json.RawMessage `json:"input,omitempty"`
	Items     []json.RawMessage          `json:"-"`
	Next      int                        `json:"next,omitempty"`  // foreach: first item that has not started
	Done      int                        `json:"done,omitempty"`  // foreach: items ended
	Total     int                        `json:"total,omitempty"` // foreach: number of items
	Broken    int                        `json:"failed_items,omitempty"`
	FirstBad  string                     `json:"-"` // foreach: path of the first item that failed
	Active    map[int]bool               `json:"-"` // foreach: items started and not ended
}

// Current is the invocation that is in flight, or was last: the action's, or that of its probe; nil if there was none.
func (s *Step) Current() *ActionStarted {
	if s.Verifying {
		return s.Probe
	}
	return s.Action
}

// Approval is a request to people, bound to the digest of what will run.
type Approval struct {
	ID      string          `json:"id"`
	Run     string          `json:"run"`
	Step    string          `json:"step"`
	Title   string          `json:"title"`
	Show    json.RawMessage `json:"show,omitempty"`
	Need    []Need          `json:"need,omitempty"`
	Subject json.RawMessage `json:"subject"` // exactly what is approved
	Digest  string          `json:"digest"`  // sha256 of Subject
	State   string          `json:"state"`   // pending, granted, denied, expired, cancelled
	Asked   time.Time       `json:"asked"`
	Expires *time.Time      `json:"expires,omitempty"`
	Not     []string        `json:"not,omitempty"` // who may not grant: requester
	Votes   []Ballot        `json:"votes,omitempty"`
	By      string          `json:"by,omitempty"`   // who voted last
	Note    string          `json:"note,omitempty"` // of the last vote
}

// Ballot is one person's word on an approval.
type Ballot struct {
	By    string    `json:"by"`
	Grant bool      `json:"grant"`
	Note  string    `json:"note,omitempty"`
	At    time.Time `json:"at"`
}

// People is how many people an approval needs in all.
func (a *Approval) People() int {
	n := 0
	for _, need := range a.Need {
		n += need.Count
	}
	return max(n, 1)
}

// Need is how many people of a group an approval asks for.
type Need struct {
	Group string `json:"group"`
	Count int    `json:"count"`
}

// ContainmentState is where a containment stands.
type ContainmentState string

// The states of a containment.
const (
	Active        ContainmentState = "active"   // accepted by the target
	Verified      ContainmentState = "verified" // and seen to be in effect
	Unverified    ContainmentState = "unverified"
	Releasing     ContainmentState = "releasing"
	Released      ContainmentState = "released"
	ReleaseFailed ContainmentState = "release_failed"
)

// Containment is something that is blocked now, or was.
type Containment struct {
	ID        string           `json:"id"`
	Incident  string           `json:"incident"`
	Run       string           `json:"run"`
	Step      string           `json:"step"`
	Plugin    string           `json:"plugin"`
	Action    string           `json:"action"`
	Connector string           `json:"connector"`
	Targets   []string         `json:"targets"`
	Reason    string           `json:"reason,omitempty"`
	Inverse   *Invocation      `json:"inverse,omitempty"` // what releases it; nil if nothing can
	Placed    time.Time        `json:"placed"`
	Expires   *time.Time       `json:"expires,omitempty"`
	State     ContainmentState `json:"state"`
	ReleaseBy string           `json:"release_run,omitempty"`
	Fault     *abi.Fault       `json:"fault,omitempty"`
}

// Standing says whether the containment may still be in effect.
func (c *Containment) Standing() bool { return c.State != Released }

// Due is when the containment is to end by itself; nil if it is not, or not any more.
func (c *Containment) Due() *time.Time {
	switch c.State {
	case Releasing, Released, ReleaseFailed:
		return nil
	}
	if c.Inverse == nil {
		return nil
	}
	return c.Expires
}

// Invocation names an action and its parameters.
type Invocation struct {
	Plugin     string          `json:"plugin"`
	Action     string          `json:"action"`
	Connector  string          `json:"connector"`
	Parameters json.RawMessage `json:"parameters"`
}

// Run finds a run by id, or nil.
func (in *Incident) Run(id string) *Run {
	return in.runs[id]
}

// Approval finds an approval by id, or nil.
func (in *Incident) Approval(id string) *Approval {
	for _, a := range in.Approvals {
		if a.ID == id {
			return a
		}
	}
	return nil
}

// Containment finds a containment by id, or nil.
func (in *Incident) Containment(id string) *Containment {
	for _, c := range in.Containments {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// Quiet says that nothing of the incident needs the engine: no run goes on, no containment is to end by itself.
func (in *Incident) Quiet() bool {
	for _, r := range in.Runs {
		if !r.Status.Ended() {
			return false
		}
	}
	for _, c := range in.Containments {
		if c.Due() != nil {
			return false
		}
	}
	return true
}

// Head is the line of an incident in a list.
type Head struct {
	ID           string    `json:"id"`
	Title        string    `json:"title"`
	Type         string    `json:"type"`
	Category     string    `json:"category,omitempty"`
	Severity     string    `json:"severity"`
	Queue        string    `json:"queue,omitempty"`
	Owner        string    `json:"owner,omitempty"`
	Status       string    `json:"status"`
	Opened       time.Time `json:"opened"`
	Updated      time.Time `json:"updated"`
	Alarms       int       `json:"alarms"`
	Runs         []RunHead `json:"runs"`         // the newest hundred
	Containments int       `json:"containments"` // that stand now
	Waiting      int       `json:"waiting_approvals"`
	InDoubt      int       `json:"in_doubt,omitempty"` // steps that wait for a person to settle whether they had their effect
}

// RunHead is a run within a Head.
type RunHead struct {
	ID      string `json:"id"`
	Runbook string `json:"runbook"`
	Status  Status `json:"status"`
}

// Head summarises the incident.
func (in *Incident) Head() Head {
	h := Head{ID: in.ID, Title: in.Title, Type: in.Type, Category: in.Category, Severity: in.Severity, Queue: in.Queue, Owner: in.Owner,
		Status: in.Status, Opened: in.OpenedAt, Updated: in.UpdatedAt, Alarms: in.Joined}
	runs := in.Runs[max(0, len(in.Runs)-maxRunsListed):]
	h.Runs = make([]RunHead, len(runs))
	for i, r := range runs {
		h.Runs[i] = RunHead{r.ID, r.Runbook, r.Status}
		h.InDoubt += len(r.Asks)
	}
	for _, c := range in.Containments {
		if c.Standing() {
			h.Containments++
		}
	}
	for _, a := range in.Approvals {
		if a.State == "pending" {
			h.Waiting++
		}
	}
	return h
}

// Apply folds one fact into the state. Facts must come in order; an error means that the journal is damaged.
func (in *Incident) Apply(f *journal.Fact) error {
	if f.Seq != in.Seq+1 {
		return fmt.Errorf("journal of %s: fact %d after fact %d", f.Incident, f.Seq, in.Seq)
	}
	if f.Kind != FactOpened && in.ID != f.Incident {
		return fmt.Errorf("journal of %s: fact %d belongs to incident %q", f.Incident, f.Seq, in.ID)
	}
	if err := in.apply(f); err != nil {
		return err
	}
	in.Seq, in.UpdatedAt = f.Seq, f.Time
	return nil
}

func (in *Incident) apply(f *journal.Fact) (err error) {
	if f.Run != "" && f.Kind != FactRunStarted {
		run := in.Run(f.Run)
		if run == nil {
			return fmt.Errorf("journal of %s: fact %d names the unknown run %q", f.Incident, f.Seq, f.Run)
		}
		if done, err := run.apply(f); done || err != nil {
			return err
		}
	}
	switch f.Kind {
	case FactOpened:
		in.ID, in.Status, in.OpenedAt = f.Incident, "open", f.Time
		in.Alarms, in.Artifacts, in.Runs = []string{}, []Artifact{}, []*Run{}
		in.Opened, err = journal.Decode[Opened](f)
		return err
	case FactAlarm:
		d, err := journal.Decode[AlarmJoined](f)
		if in.Joined++; len(in.Alarms) < maxAlarmsListed {
			in.Alarms = append(in.Alarms, d.UID)
		}
		return err
	case FactChanged:
		return in.change(f)
	case FactArtifact:
		d, err := journal.Decode[Artifact](f)
		in.addArtifact(d)
		return err
	case FactEvidence:
		return appendTo(&in.Evidence, f)
	case FactFinding:
		return appendTo(&in.Findings, f)
	case FactRunStarted:
		r := &Run{ID: f.Run, Incident: f.Incident, Status: Running, By: f.By, StartedAt: f.Time, Steps: map[string]*Step{}}
		in.Runs = append(in.Runs, r)
		if in.runs == nil {
			in.runs = map[string]*Run{}
		}
		in.runs[r.ID] = r
		r.RunStarted, err = journal.Decode[RunStarted](f)
		return err
	case FactAsked:
		a, err := journal.Decode[Approval](f)
		in.Approvals = append(in.Approvals, &a)
		return err
	case FactVoted:
		d, err := journal.Decode[Vote](f)
		if a := in.Approval(d.Approval); a != nil {
			a.By, a.Note = f.By, d.Note
			a.Votes = append(a.Votes, Ballot{f.By, d.Grant, d.Note, f.Time})
		}
		return err
	case FactDecided:
		d, err := journal.Decode[Decided](f)
		if a := in.Approval(d.Approval); a != nil {
			a.State = d.State
		}
		return err
	case FactPlaced:
		c, err := journal.Decode[Containment](f)
		in.Containments = append(in.Containments, &c)
		return err
	case FactContained:
		d, err := journal.Decode[ContainmentChanged](f)
		if c := in.Containment(d.ID); c != nil {
			c.State, c.Fault = d.State, d.Fault
			if d.Run != "" {
				c.ReleaseBy = d.Run
			}
		}
		return err
	case FactComment:
		return nil
	}
	return fmt.Errorf("journal of %s: fact %d has the unknown kind %q", f.Incident, f.Seq, f.Kind)
}

func (in *Incident) change(f *journal.Fact) error {
	d, err := journal.Decode[Changed](f)
	for _, set := range []struct{ to, from *string }{
		{&in.Status, &d.Status}, {&in.Severity, &d.Severity}, {&in.Queue, &d.Queue}, {&in.Owner, &d.Owner},
	} {
		if *set.from != "" {
			*set.to = *set.from
		}
	}
	return err
}

// addArtifact keeps one entry for each kind and value; a later one adds what it knows.
func (in *Incident) addArtifact(a Artifact) {
	for i := range in.Artifacts {
		old := &in.Artifacts[i]
		if old.Kind == a.Kind && old.Value == a.Value && (old.Name == a.Name || a.Name == "") {
			if a.Verdict != "" {
				old.Verdict, old.Note = a.Verdict, a.Note
			}
			return
		}
	}
	in.Artifacts = append(in.Artifacts, a)
}

// Loop gives the path of the loop that the step at path is an item of, and the item's number; ok is false for other steps.
func Loop(path string) (loop string, item int, ok bool) {
	if !strings.HasSuffix(path, "]") {
		return "", 0, false
	}
	i := strings.LastIndexByte(path, '[')
	if i < 0 {
		return "", 0, false
	}
	item, err := strconv.Atoi(path[i+1 : len(path)-1])
	return path[:i], item, err == nil
}

func appendTo[T any](list *[]T, f *journal.Fact) error {
	v, err := journal.Decode[T](f)
	*list = append(*list, v)
	return err
}
