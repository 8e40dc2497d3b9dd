package abi

import (
	"encoding/json"
	"time"
)

// Call is the input of an action: what the guest reads when its exported function starts.
type Call struct {
	Action     string          `json:"action"`
	Parameters json.RawMessage `json:"parameters"`
	// Settings of the connector, without its secrets.
	Settings json.RawMessage `json:"settings,omitempty"`
	Context  Context         `json:"context"`
}

// Context tells a guest what it works for. It is part of the input, so it is on the tape and the same in a replay.
type Context struct {
	Invocation string    `json:"invocation"`
	Incident   string    `json:"incident,omitempty"`
	Run        string    `json:"run,omitempty"`
	Step       string    `json:"step,omitempty"`
	Now        time.Time `json:"now"`
	// Deadline is how many milliseconds the invocation may take.
	Deadline int64 `json:"deadline_ms"`
}

// Result is the output of an action: one of the two is set. The exported function returns 0 in both cases; another code is a Trap.
type Result struct {
	Output json.RawMessage `json:"output,omitempty"`
	Fault  *Fault          `json:"fault,omitempty"`
	// Stack is where a script was when it crashed, innermost function first.
	Stack []string `json:"stack,omitempty"`
}

// Reply is what every host function answers: the value that belongs to the function, or a fault. A refusal is a fault, never a trap.
type Reply struct {
	Value json.RawMessage `json:"value,omitempty"`
	Fault *Fault          `json:"fault,omitempty"`
}
