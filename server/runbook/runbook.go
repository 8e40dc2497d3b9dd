package runbook

import (
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/expr"
)

// Runbook is a compiled runbook: checked, typed and ready to run. It is immutable and may be used by many runs at once.
type Runbook struct {
	ID          string
	Version     int
	Title       string
	Description string
	Labels      []string
	// Digest is the sha256, in hex, of the canonical JSON of the document, and of the digests of the shared runbooks that it calls: comments
	// and layout do not change it, anything else does.
	Digest string
	// Calls are the ids of those shared runbooks, and of those that they call, sorted.
	Calls     []string
	File      string
	Inputs    []Input
	Guards    Guards
	Body      *Scope
	OnFailure []*Step
}

// Input is one declared input of a runbook or of a private runbook.
type Input struct {
	Name        string
	Type        string // string, integer, number, boolean, array, object; empty means any
	Format      string // ip, ipv4, ipv6, duration, …: see CheckFormat
	Description string
	Optional    bool
	Default     any      // nil if there is none
	Items       string   // type of the elements of an array; empty means any
	Enum        []string // words that are allowed; empty means any
}

// Scope is a list of steps with its own inputs, results and outputs: the body of a runbook, or a called one.
type Scope struct {
	// Name is empty for the body of the runbook that runs, the name of a private runbook, or name@version of a shared one.
	Name    string
	Inputs  []Input
	Steps   []*Step
	Outputs map[string]*expr.Template
	// Guards and OnFailure are those of a shared runbook; a private one has none of its own. The guards of every scope that encloses
	// a containment hold for it.
	Guards    Guards
	OnFailure []*Step
	// Digest of the shared runbook; empty for a private one, which is part of its file.
	Digest string
}

// Kind says what a step does.
type Kind string

// The kinds of steps.
const (
	KindUses     Kind = "uses"     // an action of a connector
	KindCall     Kind = "call"     // another runbook
	KindParallel Kind = "parallel" // several steps at once
	KindForeach  Kind = "foreach"  // a uses or a call for each item of a list
	KindDecide   Kind = "decide"   // choose the way
	KindSet      Kind = "set"      // compute a value
	KindApprove  Kind = "approve"  // ask people
	KindWait     Kind = "wait"     // let time pass
	KindEnd      Kind = "end"      // end the scope with success
	KindFail     Kind = "fail"     // end the scope with a failure
)

// ThenEnd and ThenFail are the targets of `then` that are not steps: they end the scope.
const (
	ThenEnd  = "end"
	ThenFail = "fail"
)

// Step is one step of a scope. Exactly the part that belongs to its Kind is set.
type Step struct {
	ID    string
	Title string // for people; may be empty
	Line  int    // in the file, counted from 1
	Kind  Kind
	// Needs holds the steps that must have ended before this one may start, written out or implied by order. A gated step has
	// those that it was given with `needs` only.
	Needs []string
	// Gated says that a decide or a then names the step: it waits to be chosen. Gates are the steps that may choose it.
	Gated bool
	Gates []string
	// Then is what is chosen when the step has succeeded: a step id, ThenEnd, ThenFail or empty.
	Then string

	If      *expr.Program // nil: always
	Timeout time.Duration // 0: the action's own limit
	Retry   Retry
	Cache   time.Duration // 0: no caching
	OnError string        // OnErrorFail or OnErrorContinue

	Uses     *Uses
	Call     *Call
	Parallel []*Step // their results stand in the enclosing scope under their own ids
	Foreach  *Foreach
	Decide   []Case
	Set      *expr.Template
	Approve  *Approve
	Wait     *expr.Template // gives a duration ("10m") or an RFC 3339 time
	Fail     *expr.Template // message of a fail step
	End      *expr.Template // note of an end step
}

// What happens to the scope when a step has failed, and to a foreach when an item has.
const (
	OnErrorFail     = "fail"
	OnErrorContinue = "continue"
)

// Retry says when and how often a failed action is tried again. Attempts counts the first try too.
type Retry struct {
	Attempts int
	Delay    time.Duration
	Backoff  float64 // factor for each further delay
	MaxDelay time.Duration
	On       []abi.Kind
}

// Uses is the invocation of an action.
type Uses struct {
	Plugin, Action string
	Major          int
	Connector      string // resolved at load: the named one, or the plugin's only one
	With           map[string]*expr.Template
	TTL            *expr.Template // duration after which a containment is undone; nil: it stays
	Approval       Approval
	Verify         *expr.Program  // over `output`; nil: the action's probe decides
	Key            *expr.Template // idempotency key; nil: the engine derives one
	Spec           *abi.Action
	Targets        []string // parameters that the action acts on, sorted
	Texts          []string // parameters that name a text beside the runbooks, sorted

	params *schemas.Schema // of Spec.Parameters; nil if there are none
}

// ApprovalMode says how the approval of a step is found.
type ApprovalMode string

// The modes of approval.
const (
	ByPolicy ApprovalMode = "policy" // ask the policies
	Auto     ApprovalMode = "auto"   // full-chain execution, written by the author
	ByGroup  ApprovalMode = "group"  // ask the groups of Need
)

// Approval of a uses step.
type Approval struct {
	Mode ApprovalMode
	Need []Need
}

// Need is a number of people of a group.
type Need struct {
	Group string
	Count int
}

// Call runs another scope.
type Call struct {
	Name  string // as written: a private name, or name@version
	Scope *Scope
	With  map[string]*expr.Template
}

// Foreach runs Body for each item, up to Concurrency at once.
type Foreach struct {
	Items       *expr.Program
	As          string // name of the item's variable
	Concurrency int    // at least 1
	Limit       int    // more items than this: stop and ask; 0 means DefaultLimit
	OnItemError string // OnErrorFail or OnErrorContinue
	Body        *Step  // KindUses or KindCall; shares the ID
}

// Case is one arm of a decide; the first whose When holds is taken.
type Case struct {
	When *expr.Program // nil: else
	Goto string        // a step id, ThenEnd or ThenFail
	Note string
}

// Approve asks people. Its result is {decision, by, note}.
type Approve struct {
	Title    *expr.Template
	Show     *expr.Template // what the people see; may be nil
	Need     []Need
	Not      []string // who may not vote: requester
	Expires  time.Duration
	OnExpire string // OnErrorFail, ThenEnd or OnErrorContinue
	OnDeny   string // the same
	Escalate []Escalation
}

// Escalation tells others after a time without decision.
type Escalation struct {
	After time.Duration
	To    string
}

// Guards are checked before any contain step, whatever the step says.
type Guards struct {
	NeverContain []*expr.Program // over target, lists, inputs, alarm, incident; true refuses
	PerRun       int             // most containments of one run; 0: no cap of the runbook's own
	PerHour      int
}

// Catalog is what a runbook is checked against: the plugins and connectors of this installation.
type Catalog interface {
	// Action gives an action of an installed plugin with that major version.
	Action(plugin, action string, major int) (*abi.Action, bool)
	// Connectors lists the ids of the configured connectors of a plugin.
	Connectors(plugin string) []string
}
