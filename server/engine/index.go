package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

// The keys of the store, beside those of facts (journal.FactKey).
const (
	prefixHead     = "i/" // number of the incident, 8 bytes big endian → incident.Head
	prefixActive   = "A/" // id of an incident that is not quiet
	prefixAlarm    = "a/" // uid → AlarmRecord
	prefixPending  = "p/" // uid of an alarm that waits for a run to become free
	prefixUnparsed = "u/" // uid of an alarm that could not be parsed
	prefixDedupe   = "d/" // rule and key → dedupeEntry
	prefixRunbook  = "b/" // digest → Source
	prefixTape     = "t/" // invocation and number of the first → []storedEntry
	prefixCache    = "x/" // digest of an action with its parameters → cacheEntry
	prefixEvidence = "e/" // incident and digest → bytes
	prefixHeld     = "c/" // key of what a containment holds, run and path of its step → id of the containment
	prefixHour     = "h/" // time and invocation of a containment → names of the guards that count it
)

func headKey(id string) string {
	return prefixHead + string(binary.BigEndian.AppendUint64(nil, number(id)))
}

// incidentID makes the id of an incident from its number.
func incidentID(n uint64) string {
	const digits = 6 // at least
	text := strconv.FormatUint(n, 10)
	return "INC-" + strings.Repeat("0", max(digits-len(text), 0)) + text
}

// number is the number within an id of an incident, a run, an approval or a containment ("RUN-000012-1" gives 12); 0 if there is none.
func number(id string) uint64 {
	parts := strings.Split(id, "-")
	if len(parts) < 2 {
		return 0
	}
	n, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// IncidentOf gives the id of the incident that a run, an approval or a containment belongs to.
func IncidentOf(id string) string { return incidentID(number(id)) }

func childID(prefix, incident string, n int) string {
	return prefix + "-" + strings.TrimPrefix(incident, "INC-") + "-" + strconv.Itoa(n)
}

type dedupeEntry struct {
	Incident string    `json:"incident"`
	Until    time.Time `json:"until"`
}

// loadIndexes reads the last number given to an incident, the alarms that wait, the dedupe keys that still hold, and the containments of the
// last hour.
func (e *Engine) loadIndexes() error {
	err := e.store.Scan([]byte(prefixHead), nil, true, func(_, value []byte) error {
		var h incident.Head
		if err := json.Unmarshal(value, &h); err != nil {
			return err
		}
		e.lastID = number(h.ID)
		return journal.ErrStop
	})
	if err != nil {
		return fmt.Errorf("read the last incident: %w", err)
	}
	err = e.store.Scan([]byte(prefixPending), nil, false, func(_, _ []byte) error {
		e.backlog.add()
		return nil
	})
	if err != nil {
		return fmt.Errorf("count the alarms that wait: %w", err)
	}
	err = e.store.Scan([]byte(prefixDedupe), nil, false, func(key, value []byte) error {
		var d dedupeEntry
		if err := json.Unmarshal(value, &d); err != nil {
			return err
		}
		e.dedupe[string(key)] = d
		return nil
	})
	if err != nil {
		return fmt.Errorf("read dedupe keys: %w", err)
	}
	since := hourKey(e.now().Add(-time.Hour), "")
	err = e.store.Scan([]byte(prefixHour), []byte(since), false, func(key, value []byte) error {
		var names []string
		if err := json.Unmarshal(value, &names); err != nil {
			return err
		}
		e.hourly.add(names, hourOf(key))
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the containments of the last hour: %w", err)
	}
	return e.loadHolds()
}

// hourKey is the key of a containment that began at a time.
func hourKey(at time.Time, invocation string) string {
	return prefixHour + string(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano()))) + invocation
}

func hourOf(key []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(key[len(prefixHour):])))
}

// sweep removes, now and then, keys whose time is over.
func (e *Engine) sweep(ctx context.Context) {
	every := time.NewTicker(10 * time.Minute)
	defer every.Stop()
	for {
		if err := e.removeOld(); err != nil && ctx.Err() == nil {
			e.log.Error("remove what is too old", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// removeOld removes dedupe keys whose window is over, containments that no cap counts any more, and cached answers that are too old.
func (e *Engine) removeOld() error {
	now := e.now()
	var old [][]byte
	e.acceptMu.Lock()
	for key, d := range e.dedupe {
		if !d.Until.After(now) {
			delete(e.dedupe, key)
			old = append(old, []byte(key))
		}
	}
	err := e.remove(old)
	e.acceptMu.Unlock()
	if err != nil {
		return err
	}
	old = nil
	limit := hourKey(now.Add(-time.Hour), "")
	err = e.store.Scan([]byte(prefixHour), nil, false, func(key, _ []byte) error {
		if string(key) >= limit {
			return journal.ErrStop
		}
		old = append(old, append([]byte(nil), key...))
		return nil
	})
	if err != nil {
		return err
	}
	err = e.store.Scan([]byte(prefixCache), nil, false, func(key, value []byte) error {
		var c struct{ Expires time.Time }
		if json.Unmarshal(value, &c) != nil || !c.Expires.After(now) {
			old = append(old, append([]byte(nil), key...))
		}
		return e.ctx.Err()
	})
	if err != nil {
		return err
	}
	return e.remove(old)
}

// remove deletes keys, a few hundred at a time.
func (e *Engine) remove(keys [][]byte) error {
	for some := range slices.Chunk(keys, maxCommitOps) {
		ops := make([]journal.Op, len(some))
		for i, key := range some {
			ops[i] = journal.Op{Key: key, Delete: true}
		}
		if err := journal.Commit(e.ctx, e.store, ops); err != nil {
			return err
		}
	}
	return nil
}

// changed lets readers wait for the next commit.
type changed struct {
	mu      sync.Mutex
	waiting atomic.Bool
	ch      chan struct{}
}

// wait gives a channel that is closed at the next commit; ask for it before reading what you then wait to change.
func (c *changed) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch == nil {
		c.ch = make(chan struct{})
		c.waiting.Store(true)
	}
	return c.ch
}

func (c *changed) wake() {
	if !c.waiting.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
		c.waiting.Store(false)
	}
}

// hourly counts containments by runbook over the last hour, for the guards.
type hourly struct {
	mu     sync.Mutex
	placed map[string][]time.Time // in order
}

// full says which of the caps is reached.
func (h *hourly) full(caps []boundGuards, now time.Time) *boundGuards {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, g := range caps {
		recent := h.placed[g.name]
		for len(recent) > 0 && now.Sub(recent[0]) >= time.Hour {
			recent = recent[1:]
		}
		if g.PerHour > 0 {
			h.placed[g.name] = recent
			if len(recent) >= g.PerHour {
				return &caps[i]
			}
		}
	}
	return nil
}

// add counts a containment.
func (h *hourly) add(names []string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		h.placed[name] = append(h.placed[name], at)
	}
}
