package harness

import (
	"fmt"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host/hostcall"
)

// spaces keeps the values of each call apart, and only for as long as the call is looked at. It is a hostcall.KV.
type spaces struct {
	mu    sync.Mutex
	made  int
	named map[string]*hostcall.MemoryKV
}

// open makes a name space with the values that a case begins with.
func (s *spaces) open(c *Case) (name string, err error) {
	kv := hostcall.NewMemoryKV(nil)
	for key, value := range c.KV {
		if err := kv.Put("", key, value, 0, maxKept); err != nil {
			return "", err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	name = fmt.Sprintf("%s#%d", c.Name, s.made)
	s.named[name] = kv
	return name, nil
}

// maxKept bounds what a case begins with; what a plugin may keep is bounded by its manifest.
const maxKept = 64 << 20

func (s *spaces) close(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.named, name)
}

// of gives a name space; a call that has none of its own, since it belongs to no case, gets an empty one.
func (s *spaces) of(name string) *hostcall.MemoryKV {
	s.mu.Lock()
	defer s.mu.Unlock()
	kv, ok := s.named[name]
	if !ok {
		kv = hostcall.NewMemoryKV(nil)
		s.named[name] = kv
	}
	return kv
}

// Get gives a value.
func (s *spaces) Get(namespace, key string) ([]byte, bool, error) {
	return s.of(namespace).Get("", key)
}

// Put keeps a value.
func (s *spaces) Put(namespace, key string, value []byte, ttl time.Duration, quota int64) error {
	return s.of(namespace).Put("", key, value, ttl, quota)
}

// Delete forgets a value.
func (s *spaces) Delete(namespace, key string) error { return s.of(namespace).Delete("", key) }
