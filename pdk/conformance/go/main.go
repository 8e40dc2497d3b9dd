// Command conformance is the conformance plugin in Go.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

func main() {}

type none = struct{}

//go:wasmexport echo
func exportEcho() int32 {
	return pdk.Run(func(_ *pdk.Call, p everything) (everything, error) { return p, nil })
}

type everything struct {
	Text   string   `json:"text"`
	Number int64    `json:"number"`
	Ratio  float64  `json:"ratio"`
	Flag   bool     `json:"flag"`
	List   []string `json:"list"`
	Nested struct {
		Name string `json:"name"`
	} `json:"nested"`
}

//go:wasmexport typed
func exportTyped() int32 {
	return pdk.Run(func(_ *pdk.Call, p endpoint) (endpoint, error) { return p, nil })
}

type endpoint struct {
	IP   string `json:"ip"`
	Port int    `json:"port"`
}

//go:wasmexport parse
func exportParse() int32 {
	return pdk.Run(func(_ *pdk.Call, p struct {
		Text string `json:"text"`
	}) (map[string]any, error) {
		var value any
		if err := json.Unmarshal([]byte(p.Text), &value); err != nil {
			return nil, pdk.Fail(abi.Invalid, err.Error(), "")
		}
		return map[string]any{"value": value}, nil
	})
}

//go:wasmexport settings
func exportSettings() int32 {
	return pdk.Run(func(c *pdk.Call, _ none) (s map[string]any, err error) { return s, c.Settings(&s) })
}

//go:wasmexport context
func exportContext() int32 {
	return pdk.Run(func(c *pdk.Call, _ none) (map[string]any, error) {
		return map[string]any{"action": c.Action, "invocation": c.Context.Invocation, "incident": c.Context.Incident, "run": c.Context.Run,
			"step": c.Context.Step, "now": c.Now().Format(time.RFC3339Nano), "deadline_ms": c.Context.Deadline}, nil
	})
}

//go:wasmexport dice
func exportDice() int32 {
	return pdk.Run(func(*pdk.Call, none) (string, error) {
		b := make([]byte, 16)
		_, err := rand.Read(b)
		return hex.EncodeToString(b), err
	})
}

//go:wasmexport clock
func exportClock() int32 {
	return pdk.Run(func(c *pdk.Call, _ none) (map[string]any, error) {
		first := time.Now()
		second := time.Now()
		return map[string]any{"since_now": first.Sub(c.Now()) < time.Second && !first.Before(c.Now()), "goes_on": second.After(first)}, nil
	})
}

var calls int

//go:wasmexport count
func exportCount() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) { calls++; return calls, nil })
}

//go:wasmexport write
func exportWrite() int32 {
	return pdk.Run(func(c *pdk.Call, p struct {
		Message string `json:"message"`
	}) (int, error) {
		c.Log("debug", p.Message, nil)
		c.Info(p.Message)
		c.Warn(p.Message)
		c.Log("error", p.Message, map[string]any{"text": p.Message, "count": 3})
		return 4, nil
	})
}

//go:wasmexport emit
func exportEmit() int32 {
	return pdk.Run(func(c *pdk.Call, p struct {
		IP       string `json:"ip"`
		Verdict  string `json:"verdict"`
		Note     string `json:"note"`
		Data     []byte `json:"base64"`
		Sentence string `json:"sentence"`
	}) (bool, error) {
		return true, errors.Join(c.Artifact("ip", p.IP, p.Verdict, p.Note), c.Evidence("dump.bin", "application/octet-stream", p.Data),
			c.Finding(p.Sentence, p.Verdict, p.Note))
	})
}

//go:wasmexport check
func exportCheck() int32 {
	return pdk.Run(func(c *pdk.Call, _ none) (bool, error) {
		base, err := base(c)
		if err != nil {
			return false, err
		}
		got, err := c.HTTP("api").Get(base + "/person")
		if err != nil {
			return false, err
		}
		return true, got.Expect()
	})
}

//go:wasmexport describe
func exportDescribe() int32 {
	return pdk.Run(func(*pdk.Call, none) (map[string]string, error) {
		return map[string]string{"plugin": "conformance"}, nil
	})
}
