package hostcall

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Quotas of what a guest may leave in one invocation without any capability.
const (
	MaxLogLines      = 1000
	MaxLogBytes      = 256 << 10
	MaxEmissions     = 2000
	MaxEvidenceBytes = 16 << 20
	MaxEmissionText  = 8 << 10 // of each text of an emission
)

// How long the JSON of a request may be beside its texts, and how long a text can become in it.
const (
	besideTexts = 4 << 10
	inJSON      = 6 // bytes for each
)

// Emission is something for the incident.
type Emission struct {
	Type string `json:"type"` // artifact, evidence or finding
	abi.Emission
}

// output is what the guest leaves behind besides its result. On the tape are only digests: a replay makes it again.
type output struct {
	logged, emitted trail
	logs            []abi.LogEntry
	logBytes        int
	emissions       []Emission
	asked           int // emissions that were asked for, taken or not
	evidenceBytes   int // likewise
}

// trail is a running digest of requests as the guest made them: a replay, which has no secrets, could not redact them.
type trail struct{ sum hash.Hash }

func (t *trail) add(fn string, request []byte) {
	if t.sum == nil {
		t.sum = sha256.New()
	}
	fmt.Fprintf(t.sum, "%s %d\n", fn, len(request))
	t.sum.Write(request)
}

// digest is empty for no requests.
func (t *trail) digest() string {
	if t.sum == nil {
		return ""
	}
	return "sha256:" + hex.EncodeToString(t.sum.Sum(nil))
}

// take carries out log.write and emit.*, which need no capability.
func (s *Session) take(fn string, request []byte) []byte {
	var fault *abi.Fault
	switch kind := strings.TrimPrefix(fn, "emit."); {
	case fn == "log.write":
		s.output.logged.add(fn, request)
		fault = s.log(request)
	case kind == "artifact" || kind == "evidence" || kind == "finding":
		s.output.emitted.add(fn, request)
		fault = s.emit(kind, request)
	default:
		fault = abi.NewFault(abi.NotFound, "there is no host function "+fn, "")
	}
	return reply(nil, fault)
}

func (s *Session) log(request []byte) *abi.Fault {
	o := &s.output
	if len(o.logs) >= MaxLogLines || o.logBytes+len(request) > MaxLogBytes {
		return abi.NewFault(abi.Limit, fmt.Sprintf("at most %d lines and %d bytes may be logged", MaxLogLines, MaxLogBytes), "")
	}
	o.logBytes += len(request) // be it in order or not: reading it takes as long
	var e abi.LogEntry
	if fault := s.o.Services.decode(s.redactor.Bytes(request), &e); fault != nil {
		return fault
	}
	if e.Level == "" {
		e.Level = "info"
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, e.Level) {
		return abi.NewFault(abi.Invalid, "the log level is not known", "use debug, info, warn or error")
	}
	o.logs = append(o.logs, e)
	return nil
}

func (s *Session) emit(kind string, request []byte) *abi.Fault {
	o := &s.output
	e := Emission{Type: kind}
	texts := 5*inJSON*MaxEmissionText + besideTexts
	switch { // before anything is made of it
	case o.asked >= MaxEmissions:
		return abi.NewFault(abi.Limit, fmt.Sprintf("at most %d emissions are taken", MaxEmissions), "")
	case kind != "evidence" && len(request) > texts:
		return abi.NewFault(abi.TooLarge, fmt.Sprintf("the emission has %d bytes; a text of it may have %d", len(request), MaxEmissionText), "large texts are evidence")
	case (len(request)-texts)/4*3 > MaxEvidenceBytes-o.evidenceBytes:
		return abi.NewFault(abi.Limit, fmt.Sprintf("at most %d bytes of evidence are taken", MaxEvidenceBytes), "")
	}
	o.asked++
	if fault := s.o.Services.decode(request, &e.Emission); fault != nil {
		o.evidenceBytes += len(request)
		return fault
	}
	o.evidenceBytes += len(e.Data)
	for _, text := range []*string{&e.Kind, &e.Value, &e.Name, &e.Verdict, &e.Note} {
		*text = s.redactor.String(*text)
	}
	e.Data = s.redactor.Bytes(e.Data)
	switch {
	case o.evidenceBytes > MaxEvidenceBytes:
		return abi.NewFault(abi.Limit, fmt.Sprintf("at most %d bytes of evidence are taken", MaxEvidenceBytes), "")
	case max(len(e.Kind), len(e.Value), len(e.Name), len(e.Note)) > MaxEmissionText:
		return abi.NewFault(abi.TooLarge, fmt.Sprintf("a text of the emission has more than %d bytes", MaxEmissionText), "large texts are evidence")
	case kind != "evidence" && e.Data != nil:
		return abi.NewFault(abi.Invalid, "only evidence has data", "")
	case kind == "artifact" && (e.Kind == "" || e.Value == ""):
		return abi.NewFault(abi.Invalid, "an artifact needs kind and value", "")
	case kind == "evidence" && (e.Name == "" || e.Data == nil):
		return abi.NewFault(abi.Invalid, "evidence needs name and data", "")
	case kind == "finding" && e.Value == "":
		return abi.NewFault(abi.Invalid, "a finding needs a value", "")
	case !slices.Contains([]string{"", "benign", "suspicious", "malicious", "unknown"}, e.Verdict):
		return abi.NewFault(abi.Invalid, "the verdict is not known", "use benign, suspicious, malicious or unknown")
	}
	o.emissions = append(o.emissions, e)
	return nil
}
