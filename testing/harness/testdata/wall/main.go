// Command wall is the plugin that the harness is tested with.
package main

import (
	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

type params struct {
	IP  string `json:"ip"`
	How string `json:"how"`
}

//go:wasmexport block
func blockExport() int32 { return pdk.Run(block) }

//go:wasmexport blocked
func blockedExport() int32 { return pdk.Run(blocked) }

//go:wasmexport unblock
func unblockExport() int32 { return pdk.Run(unblock) }

//go:wasmexport page
func pageExport() int32 { return pdk.Run(page) }

//go:wasmexport odd
func oddExport() int32 { return pdk.Run(odd) }

func main() {}

func send(c *pdk.Call, method, path string, statuses ...int) (int, error) {
	var s struct {
		URL string `json:"url"`
	}
	if err := c.Settings(&s); err != nil {
		return 0, err
	}
	answer, err := c.HTTP("api").Do(abi.HTTPRequest{Method: method, URL: s.URL + path})
	if err != nil {
		return 0, err
	}
	return answer.Status, answer.Expect(statuses...)
}

func block(c *pdk.Call, p params) (map[string]int, error) {
	if _, err := send(c, "GET", "/list/"+p.IP, 200, 404); err != nil {
		return nil, err
	}
	if _, err := send(c, "PUT", "/list/"+p.IP, 201, 204); err != nil {
		return nil, err
	}
	n := 0
	if _, err := c.KV().Get("count", &n); err != nil {
		return nil, err
	}
	c.Info("blocked " + p.IP)
	if err := c.Artifact("ip", p.IP, "malicious", "blocked"); err != nil {
		return nil, err
	}
	return map[string]int{"count": n + 1}, c.KV().Put("count", n+1, 0)
}

func blocked(c *pdk.Call, p params) (map[string]bool, error) {
	status, err := send(c, "GET", "/list/"+p.IP, 200, 404)
	return map[string]bool{"present": status == 200}, err
}

func unblock(c *pdk.Call, p params) (map[string]any, error) {
	_, err := send(c, "DELETE", "/list/"+p.IP, 204, 404)
	return map[string]any{}, err
}

func page(c *pdk.Call, _ params) (map[string]any, error) {
	_, err := send(c, "POST", "/list/pages")
	return map[string]any{}, err
}

func odd(c *pdk.Call, p params) (map[string]any, error) {
	switch p.How {
	case "panic":
		var none map[string]int
		none["a"] = 1
	case "schema":
		return map[string]any{"n": "a text"}, nil
	case "refused":
		_, err := send(c, "GET", "/elsewhere")
		return nil, err
	case "wrong":
		if _, err := send(c, "GET", "/list/x"); err != nil {
			return nil, pdk.Fail(abi.NotFound, "it is gone", "")
		}
	}
	return map[string]any{"n": 1}, nil
}
