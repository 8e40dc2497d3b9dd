package engine

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// What one commit holds at most, well below what a store refuses: a plan may be long (ten thousand items with cached answers). The store keeps
// values of more than smallValue apart, so that they do not count beyond it.
const (
	maxCommitOps   = 512
	maxCommitBytes = 192 << 10
	smallValue     = 4 << 10
	maxCutFacts    = 128
)

// How long a commit may wait for another to go with it: one that a started action is to follow with the beginning of a write, which does wait for
// the disk; and one that nobody waits for.
const (
	beforeWrite = time.Millisecond
	unwatched   = 2 * time.Millisecond
)

// retryCommit is the pause before an incident goes on that the store refused to write about.
const retryCommit = 5 * time.Second

// part is what must be stored together: the facts of one plan up to a place where it may be cut, or a change beside them.
type part struct {
	ops   []journal.Op // facts first
	l     *live        // whose facts they are; nil if they are none
	facts int          // number of ops that store facts
	seq   uint64       // of the last of them
	idle  bool         // nothing of the incident is at work once they are stored
}

// parts divides the facts of the plan at its cuts. The incident is marked as active before anything of it can be lost.
func (p *planner) parts() ([]part, error) {
	if len(p.facts) == 0 {
		return nil, nil
	}
	head, err := journal.Put(headKey(p.in.ID), p.in.Head())
	if err != nil {
		return nil, err
	}
	var list []part
	add := func(facts []journal.Fact) {
		ops, failed := journal.FactOps(facts)
		err = errors.Join(err, failed)
		list = append(list, part{ops: ops, l: p.l, facts: len(ops), seq: facts[len(facts)-1].Seq})
	}
	from := 0
	for i, cut := range p.cuts {
		next := len(p.facts)
		if i+1 < len(p.cuts) {
			next = p.cuts[i+1]
		}
		if cut > from && next-from > maxCutFacts {
			add(p.facts[from:cut])
			from = cut
		}
	}
	if add(p.facts[from:]); err != nil {
		return nil, err
	}
	first, last := &list[0], &list[len(list)-1]
	last.ops, last.idle = append(last.ops, head), len(p.l.execs) == 0
	active, quiet := []byte(prefixActive+p.in.ID), p.in.Quiet()
	if !quiet || len(list) > 1 {
		first.ops = append(first.ops, journal.Op{Key: active, Value: []byte{}})
	}
	if quiet && (len(list) > 1 || !p.opened) {
		last.ops = append(last.ops, journal.Op{Key: active, Delete: true})
	}
	return list, nil
}

// commit starts what is in flight and submits the facts of plans together with ops; what was started gets on meanwhile, up to its first host call.
// Callers hold the locks of the plans' incidents. done is called once, unless an error is returned: then nothing was submitted, and the incidents
// are forgotten.
func (e *Engine) commit(plans []*planner, ops []journal.Op, done func(error)) error {
	submitted, launched := newSubmission(), false
	for _, p := range plans {
		for _, s := range p.launch {
			e.launch(p.l, s, submitted)
			launched = true
		}
	}
	if launched && e.Stats.InFlight.Load() == 1 {
		// The action goes on here, at once, and this on a processor that is idle. Left to itself it would be the other way round, and later: what has just
		// become ready is not taken from its processor for a while.
		runtime.Gosched()
	}
	err := e.submitAll(plans, ops, done)
	submitted.end(cmp.Or(err, e.ctx.Err())) // the store takes nothing more of an engine that stops
	if err != nil {
		return err
	}
	for _, p := range plans {
		for _, x := range p.touched {
			x.freeSlot(e)
		}
		e.idle(p.l)
	}
	return nil
}

// submission is what those wait for whose start is on its way to the store, before they store anything, or do anything outside.
type submission struct {
	done chan struct{}
	err  error // why nothing was submitted; written before done is closed
}

func newSubmission() *submission { return &submission{done: make(chan struct{})} }

func (s *submission) end(err error) {
	s.err = err
	close(s.done)
}

func (s *submission) wait() error {
	<-s.done
	return s.err
}

// submitAll hands the facts of plans and ops to the store. Everything goes into one commit if it fits; else what a plan may lack without harm comes
// first, the beginning of each plan next, then the ops, then the rest.
func (e *Engine) submitAll(plans []*planner, ops []journal.Op, done func(error)) error {
	var beside, begin, rest []part
	for _, p := range plans {
		list, err := p.parts()
		if err != nil {
			for _, p := range plans {
				err = e.damaged(p.l, err)
			}
			return err
		}
		for _, op := range p.ops {
			beside = append(beside, part{ops: []journal.Op{op}})
		}
		if len(list) > 0 {
			begin, rest = append(begin, list[0]), append(rest, list[1:]...)
		}
	}
	if len(ops) > 0 {
		begin = append(begin, part{ops: ops})
	}
	commits := pack(append(append(beside, begin...), rest...))
	all := &gather{pending: len(commits) + 1, done: done}
	within := patience(plans, done)
	for _, c := range commits {
		e.submit(c, within, all.one)
	}
	all.one(nil)
	return nil
}

// patience says how long the commit of plans may wait for another.
func patience(plans []*planner, done func(error)) time.Duration {
	for _, p := range plans {
		for _, s := range p.launch {
			if s.step.Current().Effect.Writes() {
				return beforeWrite
			}
		}
	}
	if done == nil {
		return unwatched
	}
	return 0
}

// pack joins parts, in their order, into as few commits as they fit into.
func pack(parts []part) (commits [][]part) {
	count, size := 0, 0
	for _, next := range parts {
		bytes := 0
		for _, op := range next.ops {
			bytes += len(op.Key) + min(len(op.Value), smallValue) + 128
		}
		if len(commits) == 0 || count+len(next.ops) > maxCommitOps || size+bytes > maxCommitBytes {
			commits, count, size = append(commits, nil), 0, 0
		}
		last := len(commits) - 1
		commits[last] = append(commits[last], next)
		count, size = count+len(next.ops), size+bytes
	}
	return commits
}

// submit hands one commit to the store.
func (e *Engine) submit(c []part, within time.Duration, done func(error)) {
	var ops []journal.Op
	for _, pt := range c {
		ops = append(ops, pt.ops...)
		if pt.l != nil {
			pt.l.pending.Add(1)
		}
	}
	e.store.Submit(e.ctx, ops, within, func(err error) {
		result := err
		for _, pt := range c {
			if pt.l != nil {
				if failure := e.answered(pt, err); result == nil { // each part was stored, or none: what one of them meets says nothing of the next
					result = failure
				}
			}
		}
		if err == nil {
			e.changed.wake()
		}
		done(result)
	})
}

// answered notes what became of a part. It is called by the store, in the order of submission, and must not wait for a lock of an incident.
// When a part is refused, the state in memory is ahead of the disk: it is read again before anything else happens to the incident. What was
// submitted in the meantime and stored stands behind a gap; it is taken back.
func (e *Engine) answered(pt part, err error) error {
	l := pt.l
	switch {
	case err == nil && !l.failed.Load():
		l.stored.Store(pt.seq)
		l.pending.Add(-1)
		if pt.idle {
			go e.drop(l) // not here: whoever holds l.mu may be waiting for the store
		}
		return nil
	case err == nil:
		back := make([]journal.Op, pt.facts)
		for i := range back {
			back[i] = journal.Op{Key: pt.ops[i].Key, Delete: true}
		}
		err = &abi.Fault{Kind: abi.Unavailable, Message: "the store refused what comes before in the journal", Retryable: true}
		e.store.Submit(context.Background(), back, 0, func(error) { l.pending.Add(-1) })
	default:
		e.refused.Store(true)
		l.failed.Store(true)
		l.pending.Add(-1)
		e.kept.Clear()
		if e.ctx.Err() == nil {
			e.log.Error("the store refuses to write about an incident", "incident", l.id, "err", err)
		}
	}
	e.timers.set(l.id, e.now().Add(retryCommit))
	return err
}
