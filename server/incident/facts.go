// Package incident holds the concepts that people work with – incident, artifact, run, step, approval, containment – as states folded from
// the facts of the journal. It is pure: Apply changes a state in memory and nothing else.
package incident

import (
	"encoding/json"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// The kinds of facts, and after each the type of its data.
const (
	FactOpened      journal.Kind = "incident.opened"     // Opened
	FactChanged     journal.Kind = "incident.changed"    // Changed
	FactAlarm       journal.Kind = "alarm.joined"        // AlarmJoined
	FactArtifact    journal.Kind = "artifact.added"      // Artifact
	FactEvidence    journal.Kind = "evidence.added"      // Evidence
	FactFinding     journal.Kind = "finding.added"       // Finding
	FactComment     journal.Kind = "comment.added"       // Comment
	FactRunStarted  journal.Kind = "run.started"         // RunStarted
	FactRunCancel   journal.Kind = "run.cancelling"      // none
	FactRunFinished journal.Kind = "run.finished"        // RunFinished
	FactStepStarted journal.Kind = "step.started"        // StepStarted
	FactStepDone    journal.Kind = "step.finished"       // StepFinished
	FactActStarted  journal.Kind = "action.started"      // ActionStarted
	FactActFinished journal.Kind = "action.finished"     // ActionFinished
	FactSettled     journal.Kind = "action.settled"      // Settled
	FactAsked       journal.Kind = "approval.asked"      // Approval
	FactVoted       journal.Kind = "approval.voted"      // Vote
	FactDecided     journal.Kind = "approval.decided"    // Decided
	FactPlaced      journal.Kind = "containment.placed"  // Containment
	FactContained   journal.Kind = "containment.changed" // ContainmentChanged
)

// Status of a run or a step.
type Status string

// The statuses of runs and steps.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Waiting   Status = "waiting"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
	TimedOut  Status = "timed_out"
	Skipped   Status = "skipped"
	InDoubt   Status = "in_doubt"
)

// Ended says whether the status is final.
func (s Status) Ended() bool {
	switch s {
	case Succeeded, Failed, Cancelled, TimedOut, Skipped, InDoubt:
		return true
	}
	return false
}

// Opened is the data of FactOpened.
type Opened struct {
	Template string   `json:"template,omitempty"`
	Rule     string   `json:"rule,omitempty"`
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Category string   `json:"category,omitempty"`
	Severity string   `json:"severity"` // informational, low, medium, high, critical, fatal, unknown
	Queue    string   `json:"queue,omitempty"`
	TLP      string   `json:"tlp,omitempty"`
	Attack   []string `json:"attack,omitempty"` // technique ids of MITRE ATT&CK
}

// Changed is the data of FactChanged: the fields that a person set.
type Changed struct {
	Status   string `json:"status,omitempty"` // open, closed
	Severity string `json:"severity,omitempty"`
	Queue    string `json:"queue,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Note     string `json:"note,omitempty"`
}

// AlarmJoined is the data of FactAlarm.
type AlarmJoined struct {
	UID string `json:"uid"`
}

// Artifact is a typed value acted on.
type Artifact struct {
	Kind    string `json:"kind"` // ip, domain, url, hash, user, host, process, port, mail, file, bytes, …
	Name    string `json:"name,omitempty"`
	Value   string `json:"value"`
	Verdict string `json:"verdict,omitempty"` // benign, suspicious, malicious, unknown
	Note    string `json:"note,omitempty"`
	Source  string `json:"source"` // alarm, or the step that found it
}

// Evidence is a file that a step left on the incident; its bytes lie under Key in the store.
type Evidence struct {
	Name   string `json:"name"`
	Media  string `json:"media,omitempty"`
	Size   int    `json:"size"` // bytes
	Digest string `json:"digest"`
	Key    string `json:"key"`
	Source string `json:"source"`
}

// Finding is one sentence of a step for the reader of the incident.
type Finding struct {
	Text    string `json:"text"`
	Verdict string `json:"verdict,omitempty"`
	Source  string `json:"source"`
}

// Comment is what a person wrote.
type Comment struct {
	Text string `json:"text"`
}

// RunStarted is the data of FactRunStarted.
type RunStarted struct {
	Runbook string                     `json:"runbook"`
	Version int                        `json:"version"`
	Digest  string                     `json:"digest"`
	Title   string                     `json:"title,omitempty"`
	Alarm   string                     `json:"alarm,omitempty"` // uid of the alarm it answers
	Inputs  map[string]json.RawMessage `json:"inputs,omitempty"`
	// Releases is the id of the containment that this run ends.
	Releases string `json:"releases,omitempty"`
}

// RunFinished is the data of FactRunFinished.
type RunFinished struct {
	Status  Status          `json:"status"`
	Outputs json.RawMessage `json:"outputs,omitempty"`
	Fault   *abi.Fault      `json:"fault,omitempty"`
	Failed  string          `json:"failed,omitempty"` // path of the step that failed
}

// StepStarted is the data of FactStepStarted, for steps that are not actions.
type StepStarted struct {
	Kind  string                     `json:"kind"`             // call, parallel, foreach, wait, approve
	Input map[string]json.RawMessage `json:"input,omitempty"`  // call: inputs of the scope
	Items []json.RawMessage          `json:"items,omitempty"`  // foreach
	Until *time.Time                 `json:"until,omitempty"`  // wait
	Step  string                     `json:"parent,omitempty"` // foreach: path of the loop that an item belongs to
}

// StepFinished is the data of FactStepDone.
type StepFinished struct {
	Status Status          `json:"status"`
	Output json.RawMessage `json:"output,omitempty"`
	Fault  *abi.Fault      `json:"fault,omitempty"`
	Chosen string          `json:"chosen,omitempty"` // decide, approve: the step that goes on, or end, or fail
	Note   string          `json:"note,omitempty"`
	// NotTaken marks a step that was skipped because no decision chose it.
	NotTaken bool `json:"not_taken,omitempty"`
}

// ActionStarted is the data of FactActStarted: everything that identifies what runs.
type ActionStarted struct {
	Invocation string          `json:"invocation"`
	Key        string          `json:"key"` // base of the keys of its writes; the same for every attempt
	Attempt    int             `json:"attempt"`
	Plugin     string          `json:"plugin"`
	Action     string          `json:"action"`
	Kind       abi.ActionKind  `json:"kind"`
	Effect     abi.Effect      `json:"effect"`
	Connector  string          `json:"connector"`
	Module     string          `json:"module"` // digest of the plugin
	Parameters json.RawMessage `json:"parameters"`
	Targets    []string        `json:"targets,omitempty"`
	TTL        time.Duration   `json:"ttl,omitempty"` // nanoseconds
	Timeout    time.Duration   `json:"timeout,omitempty"`
	At         time.Time       `json:"at"`               // the guest's clock starts here, in a repetition after a crash too
	Verify     bool            `json:"verify,omitempty"` // this is the probe of the step's containment
}

// ActionFinished is the data of FactActFinished.
type ActionFinished struct {
	Invocation string          `json:"invocation"`
	Status     Status          `json:"status"` // succeeded, failed, timed_out, cancelled, in_doubt
	Output     json.RawMessage `json:"output,omitempty"`
	Fault      *abi.Fault      `json:"fault,omitempty"`
	Cached     bool            `json:"cached,omitempty"`
	Verify     bool            `json:"verify,omitempty"`
	HostCalls  int             `json:"host_calls,omitempty"`
	Fuel       int64           `json:"fuel,omitempty"` // instructions of the plugin; a replay takes as many
	Wall       time.Duration   `json:"wall,omitempty"` // nanoseconds
	// Retry is when the next attempt is due; Verifying says that the probe comes next. Neither: the step has ended.
	Retry     *time.Time `json:"retry,omitempty"`
	Verifying bool       `json:"verifying,omitempty"`
	// Doubt says that the other side may have done what was asked for, although the attempt failed.
	Doubt bool `json:"doubt,omitempty"`
	// Unknown says that nobody knows whether an effect that must not be repeated has come about. With Verifying the probe is asked, else a person:
	// the step goes on when that is settled.
	Unknown bool `json:"unknown,omitempty"`
}

// Settled is the data of FactSettled: a person's word on whether an effect in doubt has come about.
type Settled struct {
	Answer Answer `json:"answer"`
	Note   string `json:"note,omitempty"`
}

// Answer is what a person says of an effect in doubt.
type Answer string

// The answers of Settled.
const (
	Happened    Answer = "happened"     // it has come about: the step has succeeded, without a result
	NotHappened Answer = "not-happened" // it has not: the step has failed
	Again       Answer = "again"        // it has not, or does no harm twice: the action is tried again
)

// Vote is the data of FactVoted.
type Vote struct {
	Approval string `json:"approval"`
	Grant    bool   `json:"grant"`
	Note     string `json:"note,omitempty"`
}

// Decided is the data of FactDecided.
type Decided struct {
	Approval string `json:"approval"`
	State    string `json:"state"` // granted, denied, expired, cancelled
}

// ContainmentChanged is the data of FactContained.
type ContainmentChanged struct {
	ID    string           `json:"id"`
	State ContainmentState `json:"state"`
	Run   string           `json:"run,omitempty"` // the run that releases it
	Fault *abi.Fault       `json:"fault,omitempty"`
}
