// The guest of the tests: a WASI reactor in Go with work on JSON, state on the heap, goroutines, and ways to misbehave.
package main

import (
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"sort"
	"strings"
	"time"
)

func main() {}

type alarm struct {
	ID       string            `json:"id"`
	Time     time.Time         `json:"time"`
	Severity int               `json:"severity"`
	Source   map[string]string `json:"source"`
	Items    []item            `json:"items"`
	Message  string            `json:"message"`
	Ratio    float64           `json:"ratio"`
}

type item struct {
	Type  string `json:"type"`
	Value string `json:"value"`
	Seen  []int  `json:"seen"`
}

const document = `{"id":"a-4711","time":"2026-03-01T12:00:00Z","severity":7,"source":{"ip":"192.0.2.17","host":"ws17.corp.test",
"user":"j.doe","product":"sensor"},"items":[{"type":"ip","value":"198.51.100.7","seen":[1,2,3,5,8,13]},{"type":"domain",
"value":"drop.corp.test","seen":[]},{"type":"hash","value":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
"seen":[42]}],"message":"Outbound connection to a listed address: \"beacon\" every 60 s \u2192 203.0.113.9","ratio":0.731}`

var (
	calls   int
	seen    = map[string]int{"start": 1}
	history []string
	dice    = rand.New(rand.NewPCG(1, 2))
)

//go:wasmexport work
func work(n int32) int64 {
	h := fnv.New64a()
	for range n {
		var a alarm
		if err := json.Unmarshal([]byte(document), &a); err != nil {
			panic(err)
		}
		a.Severity++
		a.Items = append(a.Items, item{Type: "user", Value: strings.ToUpper(a.Source["user"])})
		sort.Slice(a.Items, func(i, j int) bool { return a.Items[i].Value < a.Items[j].Value })
		b, err := json.Marshal(a)
		if err != nil {
			panic(err)
		}
		h.Write(b)
	}
	return int64(h.Sum64())
}

// state changes globals, heap, and goroutines, and returns a digest of all that it can see.
//
//go:wasmexport state
func state(n int32) int64 {
	calls++
	ch := make(chan int)
	for i := range n {
		go func() { ch <- int(i) * calls }()
	}
	sum := 0
	for range n {
		sum += <-ch
	}
	seen[strings.Repeat("k", calls)] += sum
	history = append(history, strings.Repeat("h", 100*calls))
	h := fnv.New64a()
	keys := make([]string, 0, len(seen))
	for k := range seen {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		h.Write([]byte(k))
		h.Write([]byte{byte(seen[k])})
	}
	h.Write([]byte{byte(calls), byte(len(history)), byte(dice.IntN(256)), byte(rand.IntN(256))})
	return int64(h.Sum64())
}

// hold allocates n KiB and keeps them.
//
//go:wasmexport hold
func hold(n int32) int32 {
	b := make([]byte, int(n)<<10)
	for i := range b {
		b[i] = byte(i)
	}
	history = append(history, string(b))
	return int32(len(history))
}

//go:wasmexport spin
func spin() {
	for {
		calls++
	}
}

//go:wasmexport recurse
func recurse(n int32) int32 {
	if n == 0 {
		return 0
	}
	return recurse(n-1) + 1
}

//go:wasmexport warm
func warm() { calls++ }

//go:wasmexport warmed
func warmed() int32 { return int32(calls) }

//go:wasmexport fail
func fail() { panic("asked to fail") }

//go:wasmexport now
func now() int64 { return time.Now().UnixNano() }
