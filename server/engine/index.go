package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
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
	prefixTape     = "t/" // invocation and number → tape.Entry
	prefixCache    = "x/" // digest of an action with its parameters → cacheEntry
	prefixEvidence = "e/" // incident and digest → bytes
)

func headKey(id string) string {
	return prefixHead + string(binary.BigEndian.AppendUint64(nil, number(id)))
}

// incidentID makes the id of an incident from its number.
func incidentID(n uint64) string { return fmt.Sprintf("INC-%06d", n) }

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
	return fmt.Sprintf("%s-%s-%d", prefix, strings.TrimPrefix(incident, "INC-"), n)
}

type dedupeEntry struct {
	Incident string    `json:"incident"`
	Until    time.Time `json:"until"`
}

// loadIndexes reads the last number given to an incident, the dedupe keys that still hold, and the containments of the last hour.
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
	now := e.now()
	var old []journal.Op
	err = e.store.Scan([]byte(prefixDedupe), nil, false, func(key, value []byte) error {
		var d dedupeEntry
		if err := json.Unmarshal(value, &d); err != nil {
			return err
		}
		if d.Until.After(now) {
			e.dedupe[string(key)] = d
		} else {
			old = append(old, journal.Op{Key: append([]byte(nil), key...), Delete: true})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read dedupe keys: %w", err)
	}
	if len(old) > 0 {
		return journal.Commit(e.ctx, e.store, old)
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
	placed map[string][]time.Time
}

// take counts one more containment of a runbook unless that passes the cap.
func (h *hourly) take(runbook string, limit int, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.placed == nil {
		h.placed = map[string][]time.Time{}
	}
	recent := h.placed[runbook]
	for len(recent) > 0 && now.Sub(recent[0]) > time.Hour {
		recent = recent[1:]
	}
	if limit > 0 && len(recent) >= limit {
		h.placed[runbook] = recent
		return false
	}
	h.placed[runbook] = append(recent, now)
	return true
}
