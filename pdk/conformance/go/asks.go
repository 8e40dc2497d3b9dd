package main

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// What asks the host: HTTP, DNS, TCP, SQL, mail, the store of a connector.

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
