// Command conformance is the conformance plugin in Go.
package main

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
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

type request struct {
	Capability string            `json:"capability"`
	Method     string            `json:"method"`
	Path       string            `json:"path"`
	Headers    map[string]string `json:"headers"`
	Text       string            `json:"text"`
	Base64     []byte            `json:"base64"`
	Timeout    int64             `json:"timeout_ms"`
}

type answer struct {
	Status int    `json:"status"`
	Type   string `json:"type"`
	Length int    `json:"length"`
	Sum    uint32 `json:"sum"`
}

//go:wasmexport fetch
func exportFetch() int32 { return pdk.Run(fetch) }

func fetch(c *pdk.Call, p request) (answer, error) {
	base, err := base(c)
	if err != nil {
		return answer{}, err
	}
	r := abi.HTTPRequest{Method: p.Method, URL: base + p.Path, Headers: p.Headers, Timeout: p.Timeout}
	switch {
	case p.Base64 != nil:
		r.Body = pdk.Body(p.Base64)
	case p.Text != "":
		r.Body = pdk.Body([]byte(p.Text))
	}
	got, err := c.HTTP(cmp.Or(p.Capability, "api")).Do(r)
	if err != nil {
		return answer{}, err
	}
	return answer{got.Status, got.Header("Content-Type"), len(got.Bytes()), sum(got.Bytes())}, nil
}

// sum is a checksum of each 61st byte that is short in every language.
func sum(b []byte) (s uint32) {
	for i := 0; i < len(b); i += 61 {
		s = s*31 + uint32(b[i])
	}
	return s
}

func base(c *pdk.Call) (string, error) {
	var s struct {
		URL string `json:"url"`
	}
	err := c.Settings(&s)
	return s.URL, err
}

type path struct {
	Path string `json:"path"`
}

type person struct {
	Name string `json:"name"`
	Age  int    `json:"age"`
}

//go:wasmexport get-json
func exportGetJSON() int32 { return pdk.Run(getJSON) }

func getJSON(c *pdk.Call, p path) (found person, err error) {
	base, err := base(c)
	if err != nil {
		return found, err
	}
	got, err := c.HTTP("api").Get(base + p.Path)
	if err != nil {
		return found, err
	}
	return found, got.Into(&found)
}

type posted struct {
	List []string `json:"list"`
	Text string   `json:"text"`
}

//go:wasmexport post-json
func exportPostJSON() int32 {
	return pdk.Run(func(c *pdk.Call, p posted) (received json.RawMessage, err error) {
		base, err := base(c)
		if err != nil {
			return nil, err
		}
		got, err := c.HTTP("api").PostJSON(base+"/mirror", p)
		if err != nil {
			return nil, err
		}
		return received, got.Into(&received)
	})
}

//go:wasmexport post-form
func exportPostForm() int32 {
	return pdk.Run(func(c *pdk.Call, p struct {
		Fields string `json:"fields"`
	}) (received json.RawMessage, err error) {
		base, err := base(c)
		if err != nil {
			return nil, err
		}
		got, err := c.HTTP("api").PostForm(base+"/mirror", p.Fields)
		if err != nil {
			return nil, err
		}
		return received, got.Into(&received)
	})
}

//go:wasmexport resolve
func exportResolve() int32 {
	return pdk.Run(func(c *pdk.Call, p abi.DNSRecord) (abi.DNSResponse, error) {
		return c.DNS("names").Resolve(p.Name, p.Type)
	})
}

//go:wasmexport exchange
func exportExchange() int32 {
	return pdk.Run(func(c *pdk.Call, p struct {
		Address string `json:"address"`
		Text    string `json:"text"`
		Base64  []byte `json:"base64"`
	}) (map[string]any, error) {
		var s struct {
			Line string `json:"line"`
		}
		if err := c.Settings(&s); err != nil {
			return nil, err
		}
		send := p.Base64
		if send == nil {
			send = []byte(p.Text)
		}
		received, truncated, err := c.TCP("line").Exchange(cmp.Or(p.Address, s.Line), send)
		return map[string]any{"length": len(received), "sum": sum(received), "truncated": truncated}, err
	})
}

//go:wasmexport query
func exportQuery() int32 {
	return pdk.Run(func(c *pdk.Call, p struct {
		Statement string         `json:"statement"`
		Params    map[string]any `json:"params"`
	}) (map[string]any, error) {
		got, err := c.SQL("inventory").Query(p.Statement, p.Params)
		return map[string]any{"columns": got.Columns, "rows": got.Rows, "truncated": got.Truncated}, err
	})
}

//go:wasmexport send
func exportSend() int32 {
	return pdk.Run(func(c *pdk.Call, p abi.MailRequest) (string, error) { return c.Mail("relay").Send(p) })
}

type note struct {
	Count int      `json:"count"`
	Name  string   `json:"name"`
	Tags  []string `json:"tags"`
}

//go:wasmexport keep
func exportKeep() int32 {
	return pdk.Run(func(c *pdk.Call, p struct {
		Key   string `json:"key"`
		Value note   `json:"value"`
		TTL   int64  `json:"ttl_s"`
	}) (map[string]any, error) {
		var value note
		before, err := c.KV().Get(p.Key, &value)
		if err != nil {
			return nil, err
		}
		if err := c.KV().Put(p.Key, p.Value, time.Duration(p.TTL)*time.Second); err != nil {
			return nil, err
		}
		if _, err := c.KV().Get(p.Key, &value); err != nil {
			return nil, err
		}
		if err := c.KV().Delete(p.Key); err != nil {
			return nil, err
		}
		after, err := c.KV().Get(p.Key, &note{})
		return map[string]any{"before": before, "value": value, "after": after}, err
	})
}

type amount struct {
	Key   string `json:"key"`
	Bytes int    `json:"bytes"`
	Times int    `json:"times"`
}

//go:wasmexport put
func exportPut() int32 {
	return pdk.Run(func(c *pdk.Call, p amount) (bool, error) {
		return true, c.KV().Put(p.Key, strings.Repeat("x", p.Bytes), 0)
	})
}

//go:wasmexport knock
func exportKnock() int32 {
	return pdk.Run(func(c *pdk.Call, p amount) (int, error) {
		for range p.Times {
			var ignored any
			if _, err := c.KV().Get("door", &ignored); err != nil {
				return 0, err
			}
		}
		return p.Times, nil
	})
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

//go:wasmexport fail
func exportFail() int32 {
	return pdk.Run(func(_ *pdk.Call, p abi.Fault) (none, error) { return none{}, &p })
}

//go:wasmexport catch
func exportCatch() int32 {
	return pdk.Run(func(c *pdk.Call, p path) (map[string]any, error) {
		base, err := base(c)
		if err != nil {
			return nil, err
		}
		_, err = c.HTTP("api").Get(base + p.Path)
		if err == nil {
			return nil, errors.New("there was no fault")
		}
		f := abi.AsFault(err)
		return map[string]any{"kind": f.Kind, "message": f.Message, "hint": f.Hint, "where": f.Where, "retryable": f.Retryable, "retry_after_ms": f.RetryAfter}, nil
	})
}

//go:wasmexport crash
func exportCrash() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) {
		list := []int{1}
		i, err := strconv.Atoi("7")
		return list[i], err
	})
}

//go:wasmexport recurse
func exportRecurse() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) { return deeper(1), nil })
}

//go:noinline
func deeper(n int) int { return n + deeper(n+1) } //nolint:staticcheck // that it never ends is what it is for

//go:wasmexport dig
func exportDig() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) { return dig([16]int{1}), nil })
}

//go:noinline
func dig(above [16]int) int {
	here := above
	here[above[3]&15]++
	return here[0] + dig(here) //nolint:staticcheck // without an end, which is the trial
}

//go:wasmexport devour
func exportDevour() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) {
		for all := [][]byte{}; ; {
			all = append(all, make([]byte, 1<<20))
		}
	})
}

//go:wasmexport spin
func exportSpin() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) {
		for n := 1; ; n++ {
			if n == 0 {
				return n, nil
			}
		}
	})
}

//go:wasmexport flood
func exportFlood() int32 {
	return pdk.Run(func(_ *pdk.Call, p amount) (string, error) { return strings.Repeat("x", p.Bytes), nil })
}

//go:wasmexport lie
func exportLie() int32 {
	return pdk.Run(func(*pdk.Call, none) (map[string]string, error) { return map[string]string{"score": "high"}, nil })
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
