package hostcall

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// ErrQuota says that a name space is full.
var ErrQuota = errors.New("the quota of the name space is used up")

// Limits of kv. A manifest or a grant may set the quota.
const (
	defaultQuota = 1 << 20
	maxKey       = 512
	maxValue     = 256 << 10
)

// keep is kv.get, kv.put and kv.delete.
type keep struct {
	abi.KVRequest
	verb string
}

func (k *keep) capability() (kind, id string) { return "kv", "" }

func (k *keep) summary() string { return k.verb + " " + k.Key }

func (k *keep) authorise(*capability.Right) (abi.Effect, *abi.Fault) {
	if k.Key == "" || len(k.Key) > maxKey {
		return "", abi.NewFault(abi.Invalid, "the key is empty or longer than 512 bytes", "")
	}
	if k.verb == "get" {
		return abi.Read, nil
	}
	switch {
	case len(k.Value) > maxValue:
		return "", abi.NewFault(abi.TooLarge, "the value has more than 262144 bytes", "")
	case k.verb == "put" && len(k.Value) == 0:
		return "", abi.NewFault(abi.Invalid, "the value is missing", "kv.delete forgets a key")
	case k.TTL < 0 || k.TTL > int64(10*365*24*time.Hour/time.Second):
		return "", abi.NewFault(abi.Invalid, "ttl_s is negative or over ten years", "0 keeps the value for ever")
	}
	return abi.Idempotent, nil
}

func (k *keep) perform(_ context.Context, s *Session, g granted, _ string) (any, *abi.Fault) {
	kv := s.o.Services.o.KV
	if kv == nil {
		return nil, &abi.Fault{Kind: abi.Unavailable, Message: "there is no store for kv here"}
	}
	var err error
	value := abi.KVResponse{}
	switch k.verb {
	case "get":
		var data []byte
		data, value.Found, err = kv.Get(s.o.Namespace, k.Key)
		value.Value = json.RawMessage(data)
	case "put":
		quota := g.right.KV.MaxBytes
		if quota == 0 {
			quota = defaultQuota
		}
		err = kv.Put(s.o.Namespace, k.Key, k.Value, time.Duration(k.TTL)*time.Second, quota)
		value.Found = true
	case "delete":
		err = kv.Delete(s.o.Namespace, k.Key)
	}
	switch {
	case errors.Is(err, ErrQuota):
		return nil, abi.NewFault(abi.Limit, "the kv store of this connector is full", "delete keys, or raise max_bytes of the capability")
	case err != nil:
		s.o.Services.o.Log.Error("kv store failed", "namespace", s.o.Namespace, "error", err)
		return nil, abi.NewFault(abi.Unavailable, "the kv store failed", "")
	}
	return value, nil
}

// MemoryKV is a KV in memory, for tests and trials.
type MemoryKV struct {
	now    func() time.Time
	mu     sync.Mutex
	values map[[2]string]kept
}

type kept struct {
	value   []byte
	expires time.Time
}

// NewMemoryKV makes an empty one; now may be nil.
func NewMemoryKV(now func() time.Time) *MemoryKV {
	if now == nil {
		now = time.Now
	}
	return &MemoryKV{now: now, values: map[[2]string]kept{}}
}

// Get gives a value.
func (m *MemoryKV) Get(namespace, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[[2]string{namespace, key}]
	if !ok || m.over(v) {
		return nil, false, nil
	}
	return v.value, true, nil
}

func (m *MemoryKV) over(v kept) bool { return !v.expires.IsZero() && !m.now().Before(v.expires) }

// Put keeps a value.
func (m *MemoryKV) Put(namespace, key string, value []byte, ttl time.Duration, quota int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := int64(len(key) + len(value))
	for id, v := range m.values {
		switch {
		case m.over(v):
			delete(m.values, id)
		case id[0] == namespace && id[1] != key:
			used += int64(len(id[1]) + len(v.value))
		}
	}
	if used > quota {
		return ErrQuota
	}
	v := kept{value: append([]byte(nil), value...)}
	if ttl > 0 {
		v.expires = m.now().Add(ttl)
	}
	m.values[[2]string{namespace, key}] = v
	return nil
}

// Delete forgets a value.
func (m *MemoryKV) Delete(namespace, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, [2]string{namespace, key})
	return nil
}
