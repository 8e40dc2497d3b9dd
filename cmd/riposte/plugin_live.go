package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/testing/harness"
)

// liveFlags are those of plugin run and plugin record.
type liveFlags struct {
	workbench
	with              []string
	tape, name, title string
}

func (f *liveFlags) flags(cmd *cobra.Command) {
	f.workbench.flags(cmd)
	cmd.Flags().StringArrayVar(&f.with, "with", nil, "parameter NAME=VALUE; a value that is JSON is taken as such")
	cmd.Flags().StringVar(&f.dir, "dir", ".", "folder of the plugin")
}

func runLiveCommand(c *client) *cobra.Command {
	var f liveFlags
	cmd := &cobra.Command{Use: "run ACTION", Short: "Call an action once, out in the world, and show what it did", Args: exactly(1, "the name of an action"),
		Long: "Build the plugin in a folder, and call one of its actions with these parameters and settings. Its calls go out: what it changes is changed.\n" +
			"Everything that it asks for is granted, but for the addresses of this machine, which --allow permits.",
		RunE: func(cmd *cobra.Command, args []string) error {
			result, _, err := f.call(cmd, args[0])
			if err != nil {
				return err
			}
			if result.Fault != nil && len(result.Entries()) == 0 { // it was refused before it ran
				return beforeItRan(result.Fault)
			}
			if f.tape != "" {
				if err := harness.WriteTape(f.tape, result.Entries()); err != nil {
					return cannotWrite(f.tape, err)
				}
			}
			return c.result(cmd, result)
		}}
	f.flags(cmd)
	cmd.Flags().StringVar(&f.tape, "tape", "", "write the tape to this file")
	return cmd
}

func recordCommand(c *client) *cobra.Command {
	var f liveFlags
	cmd := &cobra.Command{Use: "record ACTION", Short: "Call an action once, out in the world, and make a case of it", Args: exactly(1, "the name of an action"),
		Long: "Do what `riposte plugin run` does, and keep the call as a case: tests/NAME.yaml with its tape, which wants what came of it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			result, in, err := f.call(cmd, args[0])
			if err != nil {
				return err
			}
			if result.Fault != nil && len(result.Entries()) == 0 { // it was refused before it ran
				return beforeItRan(result.Fault)
			}
			file, err := harness.NewCase(filepath.Join(f.dir, harness.CasesFolder), cmp.Or(f.name, args[0]), f.title, in.Bundle, in.Settings, result.Entries(), result.Output, result.Fault)
			if err != nil {
				return err
			}
			if err := c.result(cmd, result); err != nil && result.Fault == nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s: look at what it wants, and shorten it to what matters\n", file)
			return err
		}}
	f.flags(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "name of the case (default: that of the action)")
	cmd.Flags().StringVar(&f.title, "title", "", "what the case is about")
	return cmd
}

// beforeItRan adds to a fault of the call itself how parameters and settings are given.
func beforeItRan(fault *abi.Fault) *abi.Fault {
	hint := ""
	switch {
	case strings.HasPrefix(fault.Where, "$.parameters"):
		hint = "--with NAME=VALUE gives a parameter"
	case strings.HasPrefix(fault.Where, "$.settings"):
		hint = "--settings FILE gives the settings"
	}
	if fault.Hint != "" || hint == "" {
		return fault
	}
	hinted := *fault
	hinted.Hint = hint
	return &hinted
}

// call builds, and calls the action.
func (f *liveFlags) call(cmd *cobra.Command, action string) (*harness.Result, host.Invocation, error) {
	in := host.Invocation{Action: action, Now: time.Now().UTC().Truncate(time.Second)}
	in.ID = "try-" + in.Now.Format("20060102T150405")
	in.Key = in.ID
	parameters, err := withParameters(f.with)
	if err != nil {
		return nil, in, err
	}
	if in.Bundle, err = f.plugin(cmd.Context(), cmd.ErrOrStderr()); err != nil {
		return nil, in, err
	}
	in.Parameters = parameters
	if in.Settings, in.Grant, err = f.readSettings(in.Bundle); err != nil {
		return nil, in, err
	}
	if in.Settings == nil {
		in.Settings = json.RawMessage("{}")
	}
	h, err := f.open(true)
	if err != nil {
		return nil, in, err
	}
	defer func() { _ = h.Close() }()
	out, entries, err := h.Invoke(cmd.Context(), in)
	if err != nil {
		return nil, in, err
	}
	return harness.ResultOf(action, in, out, entries), in, nil
}

// withParameters reads NAME=VALUE; what is no JSON is text.
func withParameters(list []string) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	for _, one := range list {
		name, value, ok := strings.Cut(one, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--with %s: expected NAME=VALUE", one)}
		}
		if all[name] = json.RawMessage(value); !json.Valid(all[name]) {
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			all[name] = text
		}
	}
	return json.Marshal(all)
}

// result shows one call.
func (c *client) result(cmd *cobra.Command, r *harness.Result) error {
	if c.json || c.format == "json" {
		if err := jsonLine(cmd.OutOrStdout(), r); err != nil {
			return err
		}
	} else if err := harness.WriteResult(cmd.OutOrStdout(), r, harness.Style{Color: colored(os.Stdout), Verbose: true}); err != nil {
		return err
	}
	if r.Fault != nil {
		return r.Fault
	}
	return nil
}

// caseOfRun makes a case of what a server ran.
func (c *client) caseOfRun(cmd *cobra.Command, f *testFlags) error {
	ctx := cmd.Context()
	var run api.RunView
	if err := c.get(ctx, "/runs/"+url.PathEscape(f.fromRun), nil, &run); err != nil {
		return err
	}
	step, err := stepOf(&run, f.step)
	if err != nil {
		return err
	}
	var recorded api.TapeFile
	if err := c.get(ctx, "/tapes/"+url.PathEscape(step.Action.Invocation)+"/file", nil, &recorded); err != nil {
		return err
	}
	entries, err := tape.Parse(strings.NewReader(recorded.Lines), func(digest string) ([]byte, error) {
		if blob, ok := recorded.Blobs[digest]; ok {
			return blob, nil
		}
		return nil, fmt.Errorf("the server did not give the blob %s", digest)
	})
	if err != nil {
		return err
	}
	b, err := f.plugin(ctx, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	name := cmp.Or(f.name, strings.Trim(strings.ToLower(strings.Map(plainRune, f.fromRun+"-"+step.Path)), "-"))
	file, err := harness.NewCase(filepath.Join(f.dir, harness.CasesFolder), name, cmp.Or(f.title, fmt.Sprintf("step %s of %s", step.Path, f.fromRun)), b, nil, entries, step.Output, step.Fault)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.writer(), "%s: %s of %s\n", file, step.Action.Action, step.Action.Invocation)
	return err
}

func plainRune(r rune) rune {
	if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r) {
		return r
	}
	return '-'
}

// stepOf finds the step with an action; without a path there must be only one.
func stepOf(run *api.RunView, path string) (*incident.Step, error) {
	var found []*incident.Step
	var names []string
	for _, s := range run.Steps {
		if s.Action != nil {
			names = append(names, s.Path)
			if path == "" || s.Path == path {
				found = append(found, s)
			}
		}
	}
	if len(found) != 1 {
		return nil, abi.NewFault(abi.Invalid, fmt.Sprintf("the run has %d such steps with an action", len(found)), "choose one with --step: "+strings.Join(names, ", "))
	}
	return found[0], nil
}
