// Command trial is a guest with one action for each way to behave.
package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

func main() {}

type nothing = struct{}

//go:wasmexport echo
func echo() int32 {
	return pdk.Run(func(_ *pdk.Call, p json.RawMessage) (json.RawMessage, error) { return p, nil })
}

//go:wasmexport settings
func settings() int32 {
	return pdk.Run(func(c *pdk.Call, _ nothing) (any, error) {
		var s map[string]any
		return &s, c.Settings(&s)
	})
}

//go:wasmexport crash
func crash() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) {
		var list []int
		return list[len(os.Args)+3], nil
	})
}

//go:wasmexport exit
func exit() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) { os.Exit(3); return 0, nil })
}

//go:wasmexport deny
func deny() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) {
		return 0, fmt.Errorf("while blocking: %w", pdk.Fail(abi.NotFound, "no such address", "look it up"))
	})
}

//go:wasmexport loop
func loop() int32 {
	for n := 0; ; n++ {
		if n < 0 {
			return 0
		}
	}
}

//go:wasmexport recurse
func recurse() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) { return deeper(1), nil })
}

//go:noinline
func deeper(n int) int { return n + deeper(n+1) }

//go:wasmexport devour
func devour() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) {
		var all [][]byte
		for {
			all = append(all, make([]byte, 1<<20))
		}
	})
}

//go:wasmexport flood
func flood() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (string, error) { return strings.Repeat("x", 1<<20), nil })
}

//go:wasmexport chatter
func chatter() int32 {
	return pdk.Run(func(c *pdk.Call, _ nothing) (int, error) {
		for range 5000 {
			c.Info("still here")
		}
		return 5000, nil
	})
}

//go:wasmexport shout
func shout() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) {
		for n := range 1000 {
			fmt.Println("line", n, strings.Repeat("y", 5000))
		}
		return 0, errors.New("hoarse")
	})
}

//go:wasmexport doze
func doze() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) { time.Sleep(time.Hour); return 0, nil })
}

//go:wasmexport observe
func observe() int32 {
	return pdk.Run(func(c *pdk.Call, _ nothing) (any, error) {
		dice := make([]byte, 8)
		_, err := rand.Read(dice)
		entries, dirErr := os.ReadDir("/")
		before := time.Now()
		time.Sleep(5 * time.Millisecond)
		return map[string]any{"wall": time.Now().UTC().Truncate(time.Second), "now": c.Now(), "slept": time.Since(before) >= 5*time.Millisecond,
			"dice": dice, "args": len(os.Args), "env": len(os.Environ()), "files": len(entries), "no_files": dirErr != nil}, err
	})
}

//go:wasmexport lie
func lie() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (map[string]string, error) { return map[string]string{"score": "high"}, nil })
}

//go:wasmexport fetch
func fetch() int32 {
	return pdk.Run(func(c *pdk.Call, p struct {
		URL   string `json:"url"`
		Times int    `json:"times"`
	}) (string, error) {
		var last string
		for range p.Times {
			answer, err := c.HTTP("api").Get(p.URL)
			if err != nil {
				return "", err
			}
			last = string(answer.Bytes())
		}
		return last, nil
	})
}

var counter int

//go:wasmexport count
func count() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) { counter++; return counter, nil })
}

//go:wasmexport remember
func remember() int32 {
	return pdk.Run(func(c *pdk.Call, _ nothing) (int, error) {
		var kept int
		_, err := c.KV().Get("n", &kept)
		return kept, err
	})
}

//go:wasmexport find
func find() int32 {
	return pdk.Run(func(c *pdk.Call, _ nothing) (int, error) {
		return 0, errors.Join(c.Artifact("ip", "203.0.113.9", "malicious", "seen"), c.Evidence("dump.txt", "text/plain", []byte("x")), c.Finding("it is bad", "malicious", ""))
	})
}

//go:wasmexport hoard
func hoard() int32 {
	return pdk.Run(func(c *pdk.Call, _ nothing) (int, error) {
		for n := 0; ; n++ {
			if err := c.KV().Put(fmt.Sprint("key-", n), strings.Repeat("x", 1<<10), 0); err != nil && n > 5000 {
				return n, err
			}
		}
	})
}

//go:wasmexport bury
func bury() int32 {
	return pdk.Run(func(c *pdk.Call, _ nothing) (int, error) {
		for n := 0; ; n++ {
			if err := c.Evidence(fmt.Sprint("dump-", n), "text/plain", make([]byte, 1<<20)); err != nil && n > 50 {
				return n, err
			}
		}
	})
}

//go:wasmexport nest
func nest() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (json.RawMessage, error) {
		return json.RawMessage(strings.Repeat("[", 9000) + strings.Repeat("]", 9000)), nil
	})
}

//go:wasmexport threads
func threads() int32 {
	return pdk.Run(func(*pdk.Call, nothing) (int, error) {
		for n := 0; ; n++ {
			go func() { select {} }()
		}
	})
}
