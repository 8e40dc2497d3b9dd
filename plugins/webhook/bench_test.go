//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
	"github.com/riposte-soar/riposte/plugins"
)

// answerer is a receiver that costs next to nothing, since it is in the same process: it reads requests and gives each the same answer.
func answerer(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// BenchmarkAgainstBuiltIn compares, in one run, what the action takes of the processor in its sandbox and compiled into the program, with the same
// checks, dispatcher and tape.
func BenchmarkAgainstBuiltIn(b *testing.B) {
	const wanted = 4
	settings := json.RawMessage(`{"url":"http://` + answerer(b) + `/hook"}`)
	parameters := json.RawMessage(`{"body":{"alarm":"a-1","address":"192.0.2.1","text":"a connection to a server that is known"},"path":"in"}`)
	services := hostcall.NewServices(hostcall.ServicesOptions{Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	b.Cleanup(services.Close)
	h, err := host.New(host.Options{CacheDir: b.TempDir(), Services: services})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close() })
	var module *bundle.Bundle
	for name, read := range plugins.All() {
		if name == "webhook" {
			if module, err = bundle.OpenFunc(read); err != nil {
				b.Fatal(err)
			}
		}
	}
	if module == nil {
		b.Skip("NOT MEASURED: the plugins are not built; make plugins")
	}
	if err := h.Install(b.Context(), module); err != nil {
		b.Fatal(err)
	}
	grant := capability.Grant{"target": {}}
	sandboxed := func() {
		out, err := h.Run(context.Background(), host.Invocation{ID: "i", Key: "k", Bundle: module, Action: "post", Parameters: parameters, Settings: settings,
			Grant: grant, Now: time.Unix(1_700_000_000, 0), Tape: &tape.Memory{}})
		if err != nil || out.Fault != nil {
			b.Fatal(out.Fault, err)
		}
	}
	builtIn := func() {
		session, fault := hostcall.NewSession(hostcall.SessionOptions{ID: "i", Key: "k", Manifest: &module.Manifest, Action: "post", Settings: settings,
			Grant: grant, Services: services, Tape: &tape.Memory{}, MaxCalls: 1000})
		if fault == nil {
			defer session.Close()
			fault = module.CheckParameters("post", parameters)
		}
		var value result
		if fault == nil {
			value, fault = pdk.Try(send, settings, parameters, func(fn string, request []byte) (reply abi.Reply) {
				if err := json.Unmarshal(session.Call(context.Background(), fn, request), &reply); err != nil {
					b.Error(err)
				}
				return reply
			})
		}
		if fault == nil {
			raw, _ := json.Marshal(value)
			fault = module.CheckResult("post", raw)
		}
		if fault != nil {
			b.Fatal(fault)
		}
	}
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	sandboxed() // loads the module
	builtIn()
	var spent [2]time.Duration
	const times = 200
	for b.Loop() {
		for way, call := range []func(){sandboxed, builtIn} { // in turns, so that what disturbs one disturbs the other
			began := used()
			for range times {
				call()
			}
			spent[way] += used() - began
		}
	}
	b.ReportMetric(float64(spent[0].Microseconds())/float64(b.N*times), "cpu-µs/call")
	b.ReportMetric(float64(spent[1].Microseconds())/float64(b.N*times), "built-in-cpu-µs/call")
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "times-dearer")
	b.ReportMetric(wanted, "times-wanted")
}
