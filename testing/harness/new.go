package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/document"
)

// written is the file of a case as NewCase writes it.
type written struct {
	Case       string          `json:"case"`
	Action     string          `json:"action"`
	Parameters json.RawMessage `json:"parameters"`
	Settings   json.RawMessage `json:"settings,omitempty"`
	Tape       string          `json:"tape"`
	Expect     writtenExpect   `json:"expect"`
}

type writtenExpect struct {
	Result json.RawMessage `json:"result,omitempty"`
	Fault  *writtenFault   `json:"fault,omitempty"`
	Calls  int             `json:"calls"`
}

type writtenFault struct {
	Kind abi.Kind `json:"kind"`
}

// NewCase makes a case of a call that was made: NAME.yaml and its tape in the folder dir, which must not be there. It wants what came of the call.
// Secrets are not on tapes: settings are those of the connector; if they are nil, those of the tape, with references made up in the place of secrets.
func NewCase(dir, name, title string, b *bundle.Bundle, settings json.RawMessage, entries []tape.Entry, output json.RawMessage, fault *abi.Fault) (file string, err error) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-_.", r) }) || name[0] == '.' {
		return "", abi.NewFault(abi.Invalid, fmt.Sprintf("%q is no name for a case", name), "use lower-case letters, digits and dashes, such as block-ipv6")
	}
	if fault := tape.Replayable(entries, ""); fault != nil {
		return "", fault
	}
	head, _ := tape.HeaderOf(entries)
	call := callOf(entries)
	if head.Plugin != b.Manifest.Plugin {
		return "", abi.NewFault(abi.Invalid, fmt.Sprintf("the tape is of the plugin %s, not of %s", head.Plugin, b.Manifest.Plugin), "run this in the folder of "+head.Plugin)
	}
	w := written{Case: title, Action: head.Action, Parameters: call.Parameters, Settings: settingsLike(call.Settings, b.Manifest.Settings), Tape: name + tapeSuffix}
	if title == "" {
		w.Case = head.Action + ", as it was recorded"
	}
	if settings != nil {
		w.Settings = settings
	}
	if string(w.Settings) == "{}" {
		w.Settings = nil
	}
	if w.Expect.Result = output; fault != nil {
		w.Expect.Result, w.Expect.Fault = nil, &writtenFault{fault.Kind}
	}
	for _, x := range tape.Exchanges(entries) {
		if !x.Refused {
			w.Expect.Calls++
		}
	}
	document, err := caseText(w)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file = filepath.Join(dir, name+".yaml")
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return "", abi.NewFault(abi.Conflict, file+" is there already", "choose another name with --name, or remove it")
	}
	if err != nil {
		return "", err
	}
	_, err = f.Write(document)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return file, WriteTape(filepath.Join(dir, w.Tape), entries)
}

func caseText(w written) ([]byte, error) {
	raw, err := plainJSON(w)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", " "); err != nil {
		return nil, err
	}
	return document.FromJSON(b.Bytes())
}

// ResultOf makes the report of one call that was made without a case.
func ResultOf(name string, in host.Invocation, out host.Outcome, entries []tape.Entry) *Result {
	r := &Result{Case: name, Title: in.Bundle.Manifest.Actions[in.Action].Title, Action: in.Action, Verdict: Passed, Parameters: in.Parameters, Settings: in.Settings}
	r.took(&out, entries)
	if out.Fault != nil {
		r.Verdict = Failed
	}
	return r
}

// WriteResult writes everything about one result for people at a terminal.
func WriteResult(w io.Writer, r *Result, style Style) error {
	s := &screen{w: w, style: style}
	s.line(r, len(r.Name()), len(r.Action))
	s.details(r)
	return s.err
}
