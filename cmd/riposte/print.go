package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

// colored says whether colours make sense on w: a terminal, and nobody said NO_COLOR (https://no-color.org).
func colored(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// The colours of a timeline, as SGR codes of ECMA-48.
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	purple = "35"
	cyan   = "36"
)

// printer writes timelines for people.
type printer struct {
	w     io.Writer
	color bool
}

func (p printer) paint(code, s string) string {
	if !p.color || code == plain {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// marks gives the sign and the colour of a kind of fact.
func marks(f *journal.Fact, text string) (sign, color string) {
	switch f.Kind {
	case incident.FactOpened:
		return "●", bold
	case incident.FactRunStarted:
		return "▶", blue
	case incident.FactRunFinished:
		if strings.Contains(text, string(incident.Succeeded)) {
			return "■", green
		}
		return "■", red
	case incident.FactPlaced:
		return "⛔", red
	case incident.FactContained:
		return "⛔", green
	case incident.FactAsked, incident.FactVoted, incident.FactDecided:
		return "?", yellow
	case incident.FactActStarted:
		return "→", cyan
	case incident.FactActFinished, incident.FactStepDone:
		if strings.Contains(text, "failed") || strings.Contains(text, "timed_out") || strings.Contains(text, "in_doubt") {
			return "✗", red
		}
		return "✓", green
	case incident.FactArtifact, incident.FactFinding, incident.FactEvidence:
		return "+", purple
	}
	return "·", dim
}

// fact prints one line of a timeline.
func (p printer) fact(f journal.Fact, text string) {
	text = calmLine(text)
	sign, color := marks(&f, text)
	fmt.Fprintf(p.w, "%s %s %s\n", p.paint(dim, f.Time.Local().Format("15:04:05.000")), p.paint(color, sign), p.paint(colorOf(f.Kind, color), text))
}

// colorOf keeps long lines calm: only what matters is coloured throughout.
func colorOf(kind journal.Kind, color string) string {
	switch kind {
	case incident.FactOpened, incident.FactRunStarted, incident.FactRunFinished, incident.FactPlaced, incident.FactContained, incident.FactAsked, incident.FactDecided:
		return color
	}
	return plain
}

func jsonLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

// flatten gives nested fields their dotted names.
func flatten(prefix string, fields map[string]any, into map[string]string) {
	for name, v := range fields {
		if m, ok := v.(map[string]any); ok {
			flatten(prefix+name+".", m, into)
			continue
		}
		into[prefix+name] = fmt.Sprint(v)
	}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
