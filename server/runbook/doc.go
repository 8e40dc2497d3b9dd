// Package runbook reads runbooks, checks them against the plugins and connectors of the installation, and compiles them into what the engine
// runs. It starts nothing and reads nothing but the bytes that it is given.
//
// # Order
//
// A step waits for the step before it in its list, unless it says otherwise: `needs: [a, b]` waits for these, `needs: []` for none. A step
// that was skipped by its own `if`, or that failed under `on_error: continue`, counts as done.
//
// A step that a decide or a `then` names is gated: it does not start by order, it waits to be chosen (and for what its own `needs` names). When
// all steps that name it have ended without choosing it, it is skipped, and a step that needs nothing but steps that were skipped in this way
// is skipped too. `then: end` and `then: fail` end the scope: what has not started is skipped.
//
// The children of a parallel step start together; the parallel step has ended when all of them have. Their results stand in the enclosing
// scope, under their own ids.
//
// # Values
//
// Everywhere in a scope: inputs; alarm, incident and run; lists, the content lists by name; steps, the results of the steps that have ended
// for certain or by choice when this one starts. The result of a uses step has the type of the action's result schema; a foreach gives a list of
// {item, output, error {kind, message}} in the order of the items; a call gives the outputs of the scope that it calls; a set gives its
// value; an approve gives {decision, by, note}. The variable of a foreach (`as`, "item" if it does not say) stands in the action or call that it
// repeats. `output` in verify is the result of the action's probe. `failure` {step, kind, message} stands in on_failure. `target` in guards
// has the parameters that the containment acts on.
//
// A member that is absent is an error when it is read, and the error names it; has(a.b.c) asks for the whole path. A member that may be
// absent by its nature (the result of a step under on_error: continue, the output of an item that failed, an optional input) reads as null.
// In outputs and in on_failure, which must work wherever a run has ended, what is absent reads as the zero of its type.
package runbook
