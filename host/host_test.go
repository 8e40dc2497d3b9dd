package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/host/worker"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// built holds the guests that are compiled once for all tests, sharedCache their code.
var (
	built       = map[string][]byte{}
	sharedCache string
)

func TestMain(m *testing.M) {
	if lie := lieOf(); lie != nil {
		worker.Main(lie)
	}
	host.WorkerMain()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	folder, err := os.MkdirTemp("", "host-test-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	sharedCache = filepath.Join(folder, "cache")
	for name, source := range map[string]string{"webhook": "../plugins/webhook", "trial": "./testdata/trial", "plain": "./testdata/plain"} {
		out := filepath.Join(folder, name+".wasm")
		c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-w", "-o", out, source)
		c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if said, err := c.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%s: %w\n%s", name, err, said)
		}
		module, err := os.ReadFile(out)
		if err != nil {
			return 0, err
		}
		yaml := filepath.Join(source, "plugin.yaml")
		text, err := os.ReadFile(yaml)
		if err != nil {
			return 0, err
		}
		manifest, err := bundle.ManifestFromYAML(text, yaml)
		if err != nil {
			return 0, err
		}
		if built[name], err = bundle.Pack(module, manifest); err != nil {
			return 0, err
		}
	}
	code := m.Run()
	if code == 0 {
		return code, goleak.Find()
	}
	return code, nil
}

// vault holds the secrets of tests.
type vault map[secret.Ref]string

func (v vault) Resolve(_ context.Context, ref secret.Ref) (secret.Secret, error) {
	value, ok := v[ref]
	if !ok {
		return secret.Secret{}, abi.NewFault(abi.NotFound, "no secret "+string(ref), "")
	}
	return secret.New(value, "1"), nil
}

func newHost(t testing.TB, o host.Options) *host.Host {
	t.Helper()
	if o.Services == nil {
		o.Services = hostcall.NewServices(hostcall.ServicesOptions{
			Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
			Secrets: vault{"env:TOKEN": "correct-horse-battery"},
		})
		t.Cleanup(o.Services.Close)
	}
	if o.CacheDir == "" {
		o.CacheDir = sharedCache
	}
	h, err := host.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func install(t testing.TB, h *host.Host, file []byte) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Install(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func mustRun(t testing.TB, h *host.Host, in host.Invocation) host.Outcome {
	t.Helper()
	if in.ID == "" {
		in.ID, in.Key = "inv-1", "key-1"
	}
	if in.Now.IsZero() {
		in.Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	out, err := h.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWebhook(t *testing.T) {
	var got struct{ method, path, body, token, key string }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.method, got.path, got.body, got.token, got.key = r.Method, r.URL.String(), string(body), r.Header.Get("X-Webhook-Token"), r.Header.Get("Idempotency-Key")
		fmt.Fprintf(w, `{"received":true,"echo":%q}`, got.token)
	}))
	t.Cleanup(server.Close)
	h := newHost(t, host.Options{})
	b := install(t, h, built["webhook"])
	log := &tape.Memory{}
	out := mustRun(t, h, host.Invocation{Bundle: b, Action: "post", Tape: log,
		Parameters: json.RawMessage(`{"body":{"alarm":"c2"},"path":"in","method":"PUT"}`),
		Settings:   json.RawMessage(`{"url":"` + server.URL + `/hook","signed":true,"token":{"secret":"env:TOKEN"}}`),
		Grant:      capability.Grant{"signed-target": {}}})
	if out.Fault != nil {
		t.Fatalf("%v %v", out.Fault, out.Logs)
	}
	if got.method != "PUT" || got.path != "/hook/in" || got.body != `{"alarm":"c2"}` || got.token != "correct-horse-battery" || got.key != tape.WriteKey("key-1", 1) {
		t.Errorf("the receiver got %+v", got)
	}
	if want := `{"status":200,"body":{"received":true,"echo":"[secret]"}}`; string(out.Output) != want {
		t.Errorf("output %s, want %s", out.Output, want)
	}
	if out.Stats.HostCalls != 1 || out.Stats.Memory == 0 || out.Stats.Fuel == 0 || out.Stats.Setup == 0 {
		t.Errorf("stats %+v", out.Stats)
	}
	t.Logf("stats %+v", out.Stats)

	// A replay of the tape gives the same, without the network, the settings or a grant.
	server.Close()
	replayed := mustRun(t, h, host.Invocation{Bundle: b, Tape: tape.NewReplay(log.Entries(), tape.Exact)})
	if replayed.Fault != nil || string(replayed.Output) != string(out.Output) || replayed.Stats.Fuel != out.Stats.Fuel {
		t.Errorf("replay gave %s, %v, fuel %d instead of %d", replayed.Output, replayed.Fault, replayed.Stats.Fuel, out.Stats.Fuel)
	}
}

func TestNotGrantedIsRefused(t *testing.T) {
	h := newHost(t, host.Options{})
	b := install(t, h, built["webhook"])
	out := mustRun(t, h, host.Invocation{Bundle: b, Action: "post", Parameters: json.RawMessage(`{"body":1}`), Settings: json.RawMessage(`{"url":"http://127.0.0.1:9/"}`)})
	if out.Fault == nil || out.Fault.Kind != abi.Refused {
		t.Fatalf("got %+v", out)
	}
}
