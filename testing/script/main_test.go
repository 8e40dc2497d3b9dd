// Package script_test tells whole incidents over the real binary: a server as an operator starts it, simulated vendors that outlive its death,
// alarms as they come over the wire. The scripts lie in testdata; see scripts_test.go for their commands.
package script_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// binary is what the tests run.
var binary = flag.String("riposte", "", "binary to test; built from the sources if empty")

// patience bounds every wait for an event; a machine that is busy compiling may take its time.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare builds plugins and binary, and fills the cache of compiled modules that all servers of this user share, so that no test waits for
// the compiler.
func prepare() error {
	if *binary == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		*binary = filepath.Join(cache, "riposte", "testing", "riposte")
		for _, args := range [][]string{{"run", "./plugins/build"}, {"build", "-o", *binary, "./cmd/riposte"}} {
			cmd := exec.Command("go", args...)
			cmd.Dir = filepath.Join("..", "..")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("go %v: %w\n%s", args, err, out)
			}
		}
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	*binary = path
	if err := warm(); err != nil {
		return fmt.Errorf("the first incident, which fills the cache of compiled modules: %w", err)
	}
	return nil
}

// warm runs the demo's incident and an action of each plugin that has no part in it.
func warm() (err error) {
	dir, err := os.MkdirTemp("", "riposte-warm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := lab.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := overlay(filepath.Join(dir, "content"), l, map[string]string{"connectors/hook.yaml": hookConnector}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s, err := serve(ctx, dir, os.Environ())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := sendTCP(s.tcp, []string{world.SeedAlarm(time.Now())}); err != nil {
		return err
	}
	if err := s.runsEnded(ctx, "INC-000001", 1); err != nil {
		return err
	}
	for _, action := range []string{
		`{"plugin":"webhook","action":"post","connector":"hook","parameters":{"body":"warm"}}`,
		`{"plugin":"hackertarget","action":"reverse-dns","connector":"hackertarget","parameters":{"ip":"203.0.113.66"}}`,
	} {
		if _, err := s.call(ctx, "POST", "/api/v1/incidents/INC-000001/actions", []byte(action), nil); err != nil {
			return err
		}
	}
	return s.runsEnded(ctx, "INC-000001", 3)
}

// hookConnector is a webhook to the lab's sink.
const hookConnector = `connector: hook
plugin: webhook
title: Sink of the lab
settings: {url: "{{.sink}}"}
grant: [target]
`
