package pdk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

type blockParams struct {
	IP string `json:"ip"`
}

type blockResult struct {
	Present bool `json:"present"`
}

func block(c *pdk.Call, p blockParams) (blockResult, error) {
	var s struct {
		URL string `json:"url"`
	}
	if err := c.Settings(&s); err != nil {
		return blockResult{}, err
	}
	answer, err := c.HTTP("api").PostJSON(s.URL+"/block", p)
	if err != nil {
		return blockResult{}, err
	}
	return blockResult{Present: true}, answer.Expect()
}

var settings = map[string]string{"url": "https://fw.corp.test"}

func ExampleTry() {
	result, fault := pdk.Try(block, settings, blockParams{IP: "203.0.113.9"}, func(fn string, request []byte) abi.Reply {
		fmt.Println(fn, string(request))
		return pdk.Value(abi.HTTPResponse{Status: 204})
	})
	fmt.Println(result, fault)
	// Output:
	// http.fetch {"capability":"api","method":"POST","url":"https://fw.corp.test/block","headers":{"accept":"application/json","content-type":"application/json"},"body":{"text":"{\"ip\":\"203.0.113.9\"}"}}
	// {true} <nil>
}

func TestFaultsOfTheHostPassThrough(t *testing.T) {
	want := abi.Fault{Kind: abi.Refused, Message: "no", Hint: "grant it", Where: "$.url"}
	_, fault := pdk.Try(block, settings, blockParams{}, func(string, []byte) abi.Reply { return abi.Reply{Fault: &want} })
	if fault == nil || *fault != want {
		t.Fatalf("got %v, want %v", fault, want)
	}
}

func TestOrdinaryErrorsSayThatTheActionFailed(t *testing.T) {
	_, fault := pdk.Try(func(*pdk.Call, struct{}) (int, error) { return 0, errors.New("no such rule") }, nil, nil, nil)
	if fault == nil || fault.Kind != abi.Failed || fault.Message != "no such rule" {
		t.Fatalf("got %v", fault)
	}
}

func TestWrongParametersNameThePlace(t *testing.T) {
	_, fault := pdk.Try(block, settings, map[string]int{"ip": 7}, nil)
	if fault == nil || fault.Kind != abi.Invalid || fault.Where != "$.parameters.ip" {
		t.Fatalf("got %v", fault)
	}
}

func TestStatusBecomesFault(t *testing.T) {
	for _, test := range []struct {
		status  int
		headers map[string]string
		kind    abi.Kind
		after   int64
	}{
		{401, nil, abi.Unauthorized, 0},
		{403, nil, abi.Unauthorized, 0},
		{404, nil, abi.NotFound, 0},
		{409, nil, abi.Conflict, 0},
		{418, nil, abi.Failed, 0},
		{429, map[string]string{"retry-after": "7"}, abi.RateLimited, 7000},
		{429, map[string]string{"retry-after": "-7"}, abi.RateLimited, 0},
		{429, map[string]string{"retry-after": "Fri, 02 Jan 2026 03:04:10 GMT"}, abi.RateLimited, 5000},
		{503, map[string]string{"retry-after": "Fri, 02 Jan 2026 03:04:10 GMT", "date": "Fri, 02 Jan 2026 03:04:09 GMT"}, abi.Unavailable, 1000},
		{500, nil, abi.Unavailable, 0},
	} {
		_, fault := pdk.Try(block, settings, blockParams{}, func(string, []byte) abi.Reply {
			return pdk.Value(abi.HTTPResponse{Status: test.status, Headers: test.headers, Body: abi.Payload{Text: "because"}})
		})
		if fault == nil || fault.Kind != test.kind || fault.RetryAfter != test.after {
			t.Errorf("%d %v: got %+v", test.status, test.headers, fault)
		}
	}
}

func TestDoorsCarryTheirRequests(t *testing.T) {
	seen := map[string]string{}
	_, fault := pdk.Try(func(c *pdk.Call, _ struct{}) (string, error) {
		if _, err := c.DNS("d").Resolve("corp.test", "A"); err != nil {
			return "", err
		}
		received, _, err := c.TCP("t").Exchange("whois.corp.test:43", []byte{0xff, 0})
		if err != nil || string(received) != "\xfe" {
			return "", fmt.Errorf("received %q, %v", received, err)
		}
		if _, err := c.SQL("s").Query("one", map[string]any{"a": 1}); err != nil {
			return "", err
		}
		id, err := c.Mail("m").Send(abi.MailRequest{To: []string{"soc@corp.test"}})
		if err != nil || id != "<1@corp.test>" {
			return "", fmt.Errorf("id %q, %v", id, err)
		}
		if err := c.KV().Put("k", 5, time.Minute); err != nil {
			return "", err
		}
		var n int
		if found, err := c.KV().Get("k", &n); err != nil || !found || n != 5 {
			return "", fmt.Errorf("kv: %v %d %v", found, n, err)
		}
		c.Info("hello")
		return "", errors.Join(c.KV().Delete("k"), c.Artifact("ip", "192.0.2.1", "malicious", ""), c.Evidence("a.txt", "text/plain", []byte("x")), c.Finding("f", "", ""))
	}, nil, nil, func(fn string, request []byte) abi.Reply {
		seen[fn] = string(request)
		switch fn {
		case "tcp.exchange":
			return pdk.Value(abi.TCPResponse{Received: *pdk.Body([]byte{0xfe})})
		case "mail.send":
			return pdk.Value(abi.MailResponse{MessageID: "<1@corp.test>"})
		case "kv.get":
			return pdk.Value(abi.KVResponse{Found: true, Value: json.RawMessage("5")})
		}
		return pdk.Value(struct{}{})
	})
	if fault != nil {
		t.Fatal(fault)
	}
	for module, names := range abi.Functions() {
		for _, name := range names {
			kind := module[len("riposte:") : len(module)-len("/v1")]
			if fn := kind + "." + name; fn != "http.fetch" && seen[fn] == "" {
				t.Errorf("%s was not called", fn)
			}
		}
	}
	if want := `{"capability":"t","address":"whois.corp.test:43","send":{"base64":"/wA="}}`; seen["tcp.exchange"] != want {
		t.Errorf("got %s, want %s", seen["tcp.exchange"], want)
	}
}

func TestRunOutsideOfTheSandboxFails(t *testing.T) {
	if code := pdk.Run(block); code != 1 {
		t.Fatalf("got %d", code)
	}
}
