package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/server/journal"
)

// kv keeps the values of plugins in the store, one name space for each connector.
type kv struct {
	store journal.Store
	now   func() time.Time
	mu    sync.Mutex // from counting a name space's bytes until the write
}

// kvEntry is a value with the end of its time; zero is never.
type kvEntry struct {
	Value   json.RawMessage `json:"value"`
	Expires time.Time       `json:"expires,omitzero"`
}

func kvKey(namespace, key string) string { return "k/" + namespace + "\x00" + key }

// Get implements hostcall.KV.
func (k *kv) Get(namespace, key string) (value []byte, ok bool, err error) {
	var e kvEntry
	switch err := journal.Read(k.store, kvKey(namespace, key), &e); {
	case errors.Is(err, journal.ErrNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	if !e.Expires.IsZero() && !e.Expires.After(k.now()) {
		return nil, false, nil
	}
	return e.Value, true, nil
}

// Put implements hostcall.KV. Values whose time is over are removed on the way.
func (k *kv) Put(namespace, key string, value []byte, ttl time.Duration, quota int64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := kvEntry{Value: value}
	if ttl > 0 {
		e.Expires = k.now().Add(ttl)
	}
	op, err := journal.Put(kvKey(namespace, key), e)
	if err != nil {
		return err
	}
	used, ops := int64(len(key)+len(value)), []journal.Op{op}
	prefix := []byte(kvKey(namespace, ""))
	err = k.store.Scan(prefix, nil, false, func(at, raw []byte) error {
		var old kvEntry
		if err := json.Unmarshal(raw, &old); err != nil {
			return err
		}
		switch name := string(at[len(prefix):]); {
		case name == key:
		case !old.Expires.IsZero() && !old.Expires.After(k.now()):
			ops = append(ops, journal.Op{Key: append([]byte(nil), at...), Delete: true})
		default:
			used += int64(len(name) + len(old.Value))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if used > quota {
		return fmt.Errorf("%d bytes in %s: %w", used, namespace, hostcall.ErrQuota)
	}
	return journal.Commit(context.Background(), k.store, ops)
}

// Delete implements hostcall.KV.
func (k *kv) Delete(namespace, key string) error {
	return journal.Commit(context.Background(), k.store, []journal.Op{{Key: []byte(kvKey(namespace, key)), Delete: true}})
}
