package host_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/host/tape"
	kits "github.com/riposte-soar/riposte/pdk"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// scripting is a language whose plugins are scripts; the programs are the same in each.
type scripting struct {
	runtime, entry string
	kit            []string // files below pdk
	program        string
	helper         string // file that the program imports
	// line is one of the program that a test replaces: by what no parser takes, of which the language says syntax; by the use of a name that
	// nobody has; by a host call; by a loop without end.
	line, syntax, unknown, hostCall, loop string
}

func scriptings() map[string]scripting {
	return map[string]scripting{
		"python": {"python@3.11", "plugin.py", []string{"python/riposte.py"}, `import os, random, time
from riposte import Call, action
from lib import helper

started = [os.urandom(8).hex(), random.random(), time.time()]
calls = []

@action
def dice(call: Call, p: dict) -> dict:
    calls.append(1)
    return {"started": started, "calls": len(calls), "drawn": [os.urandom(8).hex(), random.random()]}

@action
def crash(call: Call, p: dict) -> dict:
    return helper.deeper(p)

@action
def fetch(call: Call, p: dict) -> dict:
    return call.http("api").get(call.settings["url"] + "/x").json()
`, "lib/helper.py=def deeper(p):\n    return p['missing']\n",
			"calls = []", "SyntaxError", "nobody", "__import__('_riposte').call('kv.get', '{}')", "while True: pass"},
		"js": {"js@es2023", "plugin.js", []string{"js/riposte.js"}, `import { action } from "riposte";
import { deeper } from "./lib/helper.js";

const started = [crypto.getRandomValues(new Uint8Array(4)).join(), Math.random(), Date.now()];
let calls = 0;

action("dice", () => ({ started, calls: ++calls, drawn: [crypto.getRandomValues(new Uint8Array(4)).join(), Math.random()] }));
action("crash", (call, p) => deeper(p));
action("fetch", (call) => call.http("api").get(call.settings.url + "/x").json());
`, "lib/helper.js=export function deeper(p) {\n  return p.missing.more;\n}\n",
			"let calls = 0;", "SyntaxError", "nobody();", "__riposte.call('kv.get', '{}')", "for (;;);"},
		"lua": {"lua@5.4", "plugin.lua", []string{"lua/riposte.lua", "lua/riposte/codec.lua"}, `local riposte = require "riposte"
local helper = require "lib.helper"

local started = { riposte.random(4):byte(1, -1), math.random(), os.time() }
local calls = 0

riposte.action("dice", function()
  calls = calls + 1
  return { started = started, calls = calls, drawn = { riposte.base64.encode(riposte.random(8)), math.random() } }
end)

riposte.action("crash", function(_, p) return (helper.deeper(p)) end)
riposte.action("fetch", function(call) return call:http("api"):get(call.settings.url .. "/x"):json() end)
`, "lib/helper.lua=return { deeper = function(p) return p.missing.more end }\n",
			"local calls = 0", "unexpected symbol", "nobody()", "__riposte.call('kv.get', '{}')", "while true do end"},
		"perl": {"perl@5.42", "plugin.pl", []string{"perl/Riposte.pm", "perl/Riposte/Codec.pm"}, `use v5.36;
use Riposte;
require lib::helper;

my $started = [unpack('H*', Riposte::random(4)), rand, time];
my $calls = 0;

action dice => sub ($call, $p) { return { started => $started, calls => ++$calls, drawn => [unpack('H*', Riposte::random(8)), rand] } };
action crash => sub ($call, $p) { return scalar helper::deeper($p) };
action fetch => sub ($call, $p) { return $call->http('api')->get($call->settings->{url} . '/x')->json };
`, "lib/helper.pm=package helper;\nsub deeper { return $_[0]->{missing}->more }\n1;\n",
			"my $calls = 0;", "syntax error", "my $calls = nobody();", "my $calls = Riposte::Engine::call('kv.get', '{}');", "my $calls; 1 while 1;"},
	}
}

// each runs a test in each language whose engine is here.
func (scripting) each(t *testing.T, test func(t *testing.T, s scripting)) {
	for _, name := range slices.Sorted(maps.Keys(scriptings())) {
		t.Run(name, func(t *testing.T) { test(t, scriptings()[name]) })
	}
}

func engineOf(t testing.TB, runtime string) string {
	t.Helper()
	folder, err := engines.Default()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := folder.Newest(runtime)
	if err != nil && abi.AsFault(err).Kind == abi.NotFound {
		t.Skip("NOT TESTED: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// pack makes a package of the program, in which one text was replaced by another, once for each pair.
func (s scripting) pack(t testing.TB, replace ...string) []byte {
	t.Helper()
	helper, text, _ := strings.Cut(s.helper, "=")
	files := map[string][]byte{helper: []byte(text), s.entry: []byte(strings.NewReplacer(replace...).Replace(s.program))}
	for _, file := range s.kit {
		text, err := kits.Files.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(file, "/")
		files[name] = text
	}
	var err error
	parts := bundle.Parts{Engine: engineOf(t, s.runtime)}
	if parts.Assets, err = bundle.PackAssets(files); err != nil {
		t.Fatal(err)
	}
	parts.Manifest = []byte(`{"plugin": "trial", "version": "1.0.0", "title": "Trial", "runtime": "` + s.runtime + `", "entry": "` + s.entry + `",
		"settings": {"type": "object", "properties": {"url": {"type": "string"}}},
		"requires": [{"id": "api", "kind": "http", "reason": "trials", "url": "{settings.url}/**", "methods": {"GET": "read"}}],
		"actions": {"dice": {"kind": "enrich", "title": "Dice", "effect": "pure"}, "crash": {"kind": "enrich", "title": "Crash", "effect": "pure"},
			"fetch": {"kind": "enrich", "title": "Fetch", "effect": "read", "uses": ["api"]}}}`)
	file, err := parts.Pack(bundle.Blank())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t testing.TB, file []byte) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestScriptsBeginWithOneState: what was drawn when the scripts were loaded is the same in each call, what a call draws is its own, and no call
// sees another.
func TestScriptsBeginWithOneState(t *testing.T) {
	scripting{}.each(t, func(t *testing.T, s scripting) {
		type dice struct {
			Started, Drawn []any
			Calls          int
		}
		roll := func(h *host.Host, id string) (d dice, raw string) {
			in := host.Invocation{ID: id, Key: "k", Bundle: open(t, s.pack(t)), Action: "dice", Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
			out := mustRun(t, h, in)
			if out.Fault != nil || json.Unmarshal(out.Output, &d) != nil {
				t.Fatalf("%s: %v", out.Output, out.Fault)
			}
			return d, string(out.Output) + fmt.Sprint(out.Stats.Fuel)
		}
		here := newHost(t, host.Options{})
		install(t, here, s.pack(t))
		first, raw := roll(here, "1")
		second, _ := roll(here, "2")
		if fmt.Sprint(first.Started) != fmt.Sprint(second.Started) || first.Calls != 1 || second.Calls != 1 {
			t.Errorf("two calls began with %+v and %+v", first, second)
		}
		if first.Drawn[0] == second.Drawn[0] || first.Drawn[1] == second.Drawn[1] {
			t.Errorf("two calls drew %v and %v", first.Drawn, second.Drawn)
		}
		if _, again := roll(here, "1"); again != raw {
			t.Errorf("the same call gave %s and %s", raw, again)
		}
		copies := newHost(t, host.Options{}.WithCopies())
		install(t, copies, s.pack(t))
		if _, other := roll(copies, "1"); other != raw {
			t.Errorf("without mappings it gave %s, not %s", other, raw)
		}
		there := isolated(t, host.Options{})
		install(t, there, s.pack(t))
		if _, other := roll(there, "1"); other != raw {
			t.Errorf("in a worker it gave %s, not %s", other, raw)
		}
	})
}

// TestImagesOfScriptsAreTheSame makes them twice, in folders of their own.
func TestImagesOfScriptsAreTheSame(t *testing.T) {
	scripting{}.each(t, func(t *testing.T, s scripting) {
		var first []byte
		for range 2 {
			o := host.Options{CacheDir: filepath.Join(t.TempDir(), "cache")}
			h, err := host.New(o)
			if err != nil {
				t.Fatal(err)
			}
			b := open(t, s.pack(t))
			if err := h.Install(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			image, err := os.ReadFile(filepath.Join(o.CacheDir, host.EngineVersion(), strings.TrimPrefix(b.Digest, "sha256:")+".riposte-image"))
			if err != nil {
				t.Fatal(err)
			}
			if first != nil && !bytes.Equal(first, image) {
				t.Error("two images of one package differ")
			}
			first = image
			t.Logf("the image has %d KiB", len(image)>>10)
		}
	})
}

// TestPackagesShareAnEngine installs two packages: there is one code, on disk and in memory.
func TestPackagesShareAnEngine(t *testing.T) {
	scripting{}.each(t, func(t *testing.T, s scripting) {
		dir := filepath.Join(t.TempDir(), "cache")
		h := newHost(t, host.Options{CacheDir: dir})
		for _, version := range []string{"1.0.0", "1.0.1"} {
			b := install(t, h, bytes.Replace(s.pack(t), []byte("1.0.0"), []byte(version), 1))
			if out := mustRun(t, h, host.Invocation{ID: "1", Key: "k", Bundle: b, Action: "dice", Now: time.Unix(1_700_000_000, 0)}); out.Fault != nil {
				t.Fatal(out.Fault)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, host.EngineVersion(), "*.wasm"))
		if err != nil || len(files) != 1 || h.Codes() != 1 || h.Loaded() != 2 {
			t.Errorf("%d packages have %d codes in memory and %d on disk: %v", h.Loaded(), h.Codes(), len(files), err)
		}
	})
}

func TestWhatIsWrongWithScriptsHasAPlace(t *testing.T) {
	h := newHost(t, host.Options{})
	scripting{}.each(t, func(t *testing.T, s scripting) {
		before, _, _ := strings.Cut(s.program, s.line)
		place := fmt.Sprintf("%s:%d", s.entry, strings.Count(before, "\n")+1)
		for name, test := range map[string]struct {
			replace []string
			place   string
			want    string
		}{
			"syntax":            {[]string{s.line, ")("}, s.entry, s.syntax},
			"a name not there":  {[]string{s.line, s.unknown}, place, "nobody"},
			"an import of none": {[]string{"helper", "nobody"}, "", "nobody"},
			"an action missing": {[]string{"crash", "crush"}, "$.actions.crash", "did you mean crush?"},
			"a host call":       {[]string{s.line, s.hostCall}, "", "it calls kv.get while it is initialised"},
			"no end":            {[]string{s.line, s.loop}, "", "used up its instructions"},
		} {
			t.Run(name, func(t *testing.T) {
				err := h.Install(t.Context(), open(t, s.pack(t, test.replace...)))
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.place) {
					t.Errorf("got %v, want %s at %s", err, test.want, test.place)
				}
			})
		}
		b := install(t, h, s.pack(t))
		out := mustRun(t, h, host.Invocation{ID: "1", Key: "k", Bundle: b, Action: "crash", Now: time.Unix(1_700_000_000, 0)})
		if out.Fault == nil || out.Fault.Kind != abi.Trap || !strings.HasPrefix(out.Fault.Where, "lib/helper.") || len(out.Stack) != 2 || !strings.Contains(out.Stack[1], s.entry) {
			t.Errorf("got %+v %q", out.Fault, out.Stack)
		}
	})
	b := open(t, scriptings()["js"].pack(t))
	nowhere := newHost(t, host.Options{CacheDir: filepath.Join(t.TempDir(), "cache"), Engines: engines.Folders{engines.Folder(t.TempDir())}})
	if err := nowhere.Install(t.Context(), b); err == nil || !strings.Contains(err.Error(), b.Engine()) || !strings.Contains(err.Error(), "riposte plugin engine") {
		t.Errorf("without the engine: %v", err)
	}
}

// BenchmarkScripts is a call with one request, which is answered from a tape, in a fresh state.
func BenchmarkScripts(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ok":true,"list":[1,2,3]}`))
	}))
	defer server.Close()
	for name, wanted := range map[string]time.Duration{"js": 2 * time.Millisecond, "lua": 2 * time.Millisecond, "perl": 5 * time.Millisecond, "python": 5 * time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			h := newHost(b, host.Options{})
			log := &tape.Memory{}
			in := host.Invocation{ID: "inv", Key: "key", Bundle: install(b, h, scriptings()[name].pack(b)), Action: "fetch", Tape: log, Now: time.Unix(1_700_000_000, 0),
				Settings: json.RawMessage(`{"url":"` + server.URL + `"}`), Grant: capability.Grant{"api": {}}}
			if out := mustRun(b, h, in); out.Fault != nil {
				b.Fatal(out.Fault)
			}
			recorded := log.Entries()
			var fuel int64
			b.ReportAllocs()
			b.ResetTimer()
			began := processorTime(b)
			for b.Loop() {
				in.Tape = tape.NewReplay(recorded, tape.Exact)
				out := mustRun(b, h, in)
				if out.Fault != nil {
					b.Fatal(out.Fault)
				}
				fuel = out.Stats.Fuel
			}
			b.ReportMetric(float64((processorTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(fuel), "instructions")
			b.ReportMetric(float64(wanted.Microseconds()), "wanted-µs")
		})
	}
}
