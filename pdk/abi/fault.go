// Package abi holds what crosses the wall of the sandbox: manifests, calls, results, faults, the names of the host's imports,
// and the requests and replies of the host functions. Kits, plugins and the host share it; it imports nothing but the standard
// library, so that it compiles into every guest.
package abi

import "errors"

// Kind classifies a Fault. The set is closed; every door (plugin, host, journal, API, CLI) uses these words.
type Kind string

// The kinds of faults.
const (
	Invalid      Kind = "invalid"      // the input breaks a schema or a rule; repeating it is useless
	Refused      Kind = "refused"      // a right, a guard or a policy forbids it
	Unauthorized Kind = "unauthorized" // the other side did not accept our credentials
	NotFound     Kind = "not_found"    // what was asked for does not exist
	Conflict     Kind = "conflict"     // the state changed, or exists already
	TooLarge     Kind = "too_large"    // a size limit was passed
	RateLimited  Kind = "rate_limited" // the other side or a quota says: later
	Unavailable  Kind = "unavailable"  // the other side could not be reached or is failing
	Timeout      Kind = "timeout"      // a deadline passed
	Cancelled    Kind = "cancelled"    // a person or the server's stop ended it
	Limit        Kind = "limit"        // the guest used up fuel, memory, stack, output or host calls
	Trap         Kind = "trap"         // the guest crashed, or returned what cannot be understood
	Diverged     Kind = "diverged"     // a replay asked for something else than its tape holds
	Failed       Kind = "failed"       // the action says that it did not succeed
	InDoubt      Kind = "in_doubt"     // a write may or may not have happened; a person must look
	Internal     Kind = "internal"     // a defect of ours
)

// Fault is the one error that crosses every wall unchanged: plugin, host, journal, API, CLI.
type Fault struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	// Hint says what a person can do about it.
	Hint string `json:"hint,omitempty"`
	// Where is a place: a JSON path, file:line:column, or after a crash "function (file:line:column)" as far as that is known.
	Where string `json:"where,omitempty"`
	// Retryable says that the same call may succeed later.
	Retryable bool `json:"retryable,omitempty"`
	// RetryAfter is the number of milliseconds that the other side asked us to wait.
	RetryAfter int64 `json:"retry_after_ms,omitempty"`
}

// Error gives place, message and hint in one line.
func (f *Fault) Error() string {
	s := string(f.Kind) + ": " + f.Message
	if f.Where != "" {
		s = f.Where + ": " + s
	}
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

// AsFault finds the Fault in err's chain; any other error becomes one of kind Internal. It returns nil for nil.
func AsFault(err error) *Fault {
	if err == nil {
		return nil
	}
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Kind: Internal, Message: err.Error()}
}

// NewFault makes a Fault; timeouts, rate limits and unavailability are retryable.
func NewFault(kind Kind, message, hint string) *Fault {
	return &Fault{Kind: kind, Message: message, Hint: hint,
		Retryable: kind == Timeout || kind == RateLimited || kind == Unavailable}
}
