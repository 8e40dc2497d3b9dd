package script_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/riposte-soar/riposte/testing/lab"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// TestScripts runs testdata/*.txtar. Each has simulated vendors of its own, and in $WORK/content the demo's content, except for the files that
// the script brings itself. Beside testscript's commands there are:
//
//	content DIR                  write the demo's content into DIR as well
//	seed FILE                    write the demo's alarm, as of now, into FILE
//	serve [FLAG…]                start a server on $WORK/content and $WORK/data; sets RIPOSTE_SERVER, RIPOSTE_TOKEN, SYSLOG_UDP, SYSLOG_TCP
//	sigterm | kill9              end it well, or at once
//	riposte ARG…                 run the command line
//	exits CODE riposte ARG…      run it, and expect this exit code
//	syslog udp|tcp|lf FILE       send each line of FILE as a message: a datagram, framed by its length, or ended by a line feed
//	http STATUS METHOD PATH [FILE [TYPE]]   send a request with $RIPOSTE_TOKEN, unless NOTOKEN is set; the answer is on stdout, its header on stderr
//	[!] json SEGMENT… VALUE      compare a part of stdout, see pick
//	incident done ID [RUNS]      wait until that many runs (1) of an incident have begun and none goes on
//	[!] timeline ID REGEXP…      wait until facts of an incident match, one after the other; with ! say that none does
//	lab …                        look at the simulated vendors, or make them fail, see lab_test.go
//
// $DIST is the folder of the plugins that we ship. A server that ends well has replayed all that it did, see replays. Every wait is for an event,
// and bounded.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata"),
		RequireUniqueNames: true,
		Setup:              setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"content": plain(func(ts *testscript.TestScript, args []string) error {
				return overlay(ts.MkAbs(args[0]), sceneOf(ts).lab)
			}),
			"seed": plain(func(ts *testscript.TestScript, args []string) error {
				return os.WriteFile(ts.MkAbs(args[0]), []byte(world.SeedAlarm(time.Now())+"\n"), 0o644)
			}),
			"serve":    plain(serveCommand),
			"sigterm":  plain(func(ts *testscript.TestScript, _ []string) error { return sceneOf(ts).end((*server).stop) }),
			"kill9":    plain(func(ts *testscript.TestScript, _ []string) error { return sceneOf(ts).end(killed) }),
			"riposte":  riposteCommand,
			"exits":    plain(exitsCommand),
			"syslog":   plain(syslogCommand),
			"http":     plain(httpCommand),
			"json":     jsonCommand,
			"incident": plain(incidentCommand),
			"timeline": timelineCommand,
			"lab":      plain(func(ts *testscript.TestScript, args []string) error { return sceneOf(ts).labCommand(ts, args) }),
		},
	})
}

// scene is what a script acts on.
type scene struct {
	lab    *lab.Lab
	server *server
}

type sceneKey struct{}

func sceneOf(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

// end ends the server of the scene.
func (s *scene) end(how func(*server) error) error {
	if s.server == nil {
		return errors.New("no server is running")
	}
	err := how(s.server)
	s.server = nil
	return err
}

func killed(s *server) error {
	s.kill()
	return nil
}

// setup gives a script its vendors and content.
func setup(env *testscript.Env) error {
	l, err := lab.Start()
	if err != nil {
		return err
	}
	s := &scene{lab: l}
	env.Defer(func() {
		if s.server != nil {
			s.server.kill()
			if out := s.server.output.String(); out != "" {
				env.T().Log("the server said:\n" + out)
			}
		}
		if err := l.Close(); err != nil {
			env.T().Log("the lab did not close well: ", err)
		}
	})
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	env.Values[sceneKey{}] = s
	env.Setenv("XDG_CACHE_HOME", cache)
	env.Setenv("PATH", filepath.Dir(*binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	env.Setenv("USER", "script")
	dist, err := filepath.Abs(filepath.Join("..", "..", "plugins", "dist"))
	if err != nil {
		return err
	}
	env.Setenv("DIST", dist)
	return overlay(filepath.Join(env.WorkDir, "content"), l)
}

// plain makes a command of a function that cannot be negated.
func plain(fn func(*testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command cannot be negated")
		}
		ts.Check(fn(ts, args))
	}
}

func serveCommand(ts *testscript.TestScript, args []string) error {
	s := sceneOf(ts)
	if s.server != nil {
		return errors.New("a server is running already")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	work := ts.Getenv("WORK")
	env := append(os.Environ(), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"))
	one, err := serve(ctx, work, env, args...)
	if err != nil {
		return err
	}
	s.server = one
	ts.Setenv("RIPOSTE_SERVER", one.url)
	ts.Setenv("RIPOSTE_TOKEN", one.token)
	ts.Setenv("SYSLOG_UDP", one.udp)
	ts.Setenv("SYSLOG_TCP", one.tcp)
	return nil
}

func riposteCommand(ts *testscript.TestScript, neg bool, args []string) {
	if err := ts.Exec(*binary, args...); (err != nil) != neg {
		ts.Fatalf("riposte %s: %v", strings.Join(args, " "), err)
	}
}

func exitsCommand(ts *testscript.TestScript, args []string) error {
	if len(args) < 2 || args[1] != "riposte" {
		return errors.New("usage: exits CODE riposte ARG…")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(*binary, args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
	return nil
}

func syslogCommand(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: syslog udp|tcp|lf FILE")
	}
	messages := lines(ts.ReadFile(args[1]))
	switch s := sceneOf(ts).server; args[0] {
	case "udp":
		return sendUDP(s.udp, messages)
	case "tcp":
		return sendTCP(s.tcp, messages)
	case "lf":
		return sendLF(s.tcp, messages)
	}
	return errors.New("usage: syslog udp|tcp|lf FILE")
}

func incidentCommand(ts *testscript.TestScript, args []string) error {
	if len(args) < 2 || len(args) > 3 || args[0] != "done" {
		return errors.New("usage: incident done ID [RUNS]")
	}
	runs := 1
	if len(args) == 3 {
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		runs = n
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return sceneOf(ts).server.runsEnded(ctx, args[1], runs)
}
