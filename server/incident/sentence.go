package incident

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// Sentence tells a fact to people. A fact that cannot be read is told by its kind.
func Sentence(f *journal.Fact) string {
	text, err := sentence(f)
	if err != nil || text == "" {
		return string(f.Kind)
	}
	return text
}

func sentence(f *journal.Fact) (string, error) {
	switch f.Kind {
	case FactOpened:
		d, err := journal.Decode[Opened](f)
		return fmt.Sprintf("opened: %s (%s, %s)", d.Title, d.Type, d.Severity), err
	case FactChanged:
		d, err := journal.Decode[Changed](f)
		return "changed" + list(" status", d.Status) + list(" severity", d.Severity) + list(" queue", d.Queue) + list(" owner", d.Owner) + list(" note", d.Note) + by(f), err
	case FactAlarm:
		d, err := journal.Decode[AlarmJoined](f)
		return "alarm " + d.UID, err
	case FactArtifact:
		d, err := journal.Decode[Artifact](f)
		return "artifact " + d.Kind + " " + d.Value + list(" named", d.Name) + list(" is", d.Verdict) + list(":", d.Note), err
	case FactEvidence:
		d, err := journal.Decode[Evidence](f)
		return fmt.Sprintf("evidence %s, %d bytes", d.Name, d.Size), err
	case FactFinding:
		d, err := journal.Decode[Finding](f)
		return "finding: " + d.Text, err
	case FactComment:
		d, err := journal.Decode[Comment](f)
		return "comment" + by(f) + ": " + d.Text, err
	case FactRunStarted:
		d, err := journal.Decode[RunStarted](f)
		return fmt.Sprintf("run %s of %s@%d", f.Run, d.Runbook, d.Version) + list(":", d.Title) + by(f), err
	case FactRunCancel:
		return "cancelling " + f.Run + by(f), nil
	case FactRunFinished:
		d, err := journal.Decode[RunFinished](f)
		return fmt.Sprintf("run %s %s", f.Run, d.Status) + list(" at", d.Failed) + fault(d.Fault), err
	case FactStepStarted, FactStepDone, FactActStarted, FactActFinished, FactSettled:
		return stepSentence(f)
	default:
		return decisionSentence(f)
	}
}

func stepSentence(f *journal.Fact) (string, error) {
	switch f.Kind {
	case FactStepStarted:
		d, err := journal.Decode[StepStarted](f)
		switch {
		case d.Kind == "foreach":
			return fmt.Sprintf("%s: for each of %d", f.Step, len(d.Items)), err
		case d.Until != nil:
			return fmt.Sprintf("%s: waits until %s", f.Step, d.Until.Format(time.TimeOnly)), err
		case d.Kind == "call" && len(d.Input) > 0:
			raw, _ := json.Marshal(d.Input)
			return f.Step + ": " + clip(string(raw)), err
		}
		return f.Step + ": " + d.Kind, err
	case FactStepDone:
		d, err := journal.Decode[StepFinished](f)
		text := f.Step + ": " + string(d.Status)
		if d.NotTaken {
			text = f.Step + ": not taken"
		}
		if len(d.Output) > 0 && d.Status == Succeeded {
			text += " " + clip(string(d.Output))
		}
		return text + list(" →", d.Chosen) + list(" –", d.Note) + fault(d.Fault), err
	case FactActStarted:
		d, err := journal.Decode[ActionStarted](f)
		verb := string(d.Kind)
		if d.Verify {
			verb = "verify"
		}
		text := fmt.Sprintf("%s: %s %s/%s %s", f.Step, verb, d.Plugin, d.Action, clip(string(d.Parameters)))
		if d.Attempt > 1 {
			text += fmt.Sprintf(" (attempt %d)", d.Attempt)
		}
		return text, err
	case FactSettled:
		d, err := journal.Decode[Settled](f)
		said := map[Answer]string{Happened: "says that it happened", NotHappened: "says that it did not happen", Again: "lets it be tried again"}[d.Answer]
		return f.Step + ": " + f.By + " " + said + list(":", d.Note), err
	}
	d, err := journal.Decode[ActionFinished](f)
	text := f.Step + ": " + string(d.Status)
	if d.Cached {
		text += " (cached)"
	}
	if len(d.Output) > 0 {
		text += " " + clip(string(d.Output))
	}
	if d.Wall > 0 {
		text += fmt.Sprintf(" in %.1f ms", float64(d.Wall)/float64(time.Millisecond))
	}
	if d.Unknown && !d.Verifying && d.Retry == nil {
		text += ", a person must say whether it happened"
	}
	if d.Retry != nil {
		text += ", again at " + d.Retry.Format(time.TimeOnly)
	}
	return text + fault(d.Fault), err
}

func decisionSentence(f *journal.Fact) (string, error) {
	switch f.Kind {
	case FactAsked:
		d, err := journal.Decode[Approval](f)
		return fmt.Sprintf("%s: %s asks: %s", f.Step, d.ID, d.Title), err
	case FactVoted:
		d, err := journal.Decode[Vote](f)
		word := "denies"
		if d.Grant {
			word = "grants"
		}
		return f.By + " " + word + " " + d.Approval + list(":", d.Note), err
	case FactDecided:
		d, err := journal.Decode[Decided](f)
		return d.Approval + " " + d.State, err
	case FactPlaced:
		d, err := journal.Decode[Containment](f)
		text := fmt.Sprintf("%s: contained %s by %s/%s", d.ID, strings.Join(d.Targets, ", "), d.Plugin, d.Action)
		if d.Expires != nil {
			text += " until " + d.Expires.Format(time.RFC3339)
		}
		return text, err
	case FactContained:
		d, err := journal.Decode[ContainmentChanged](f)
		return d.ID + " " + strings.ReplaceAll(string(d.State), "_", " ") + list(" by", d.Run) + fault(d.Fault), err
	}
	return "", nil
}

func list(word, value string) string {
	if value == "" {
		return ""
	}
	return word + " " + value
}

func by(f *journal.Fact) string { return list(" by", f.By) }

func fault(f *abi.Fault) string {
	if f == nil {
		return ""
	}
	return " – " + f.Error()
}

// clip shortens text for one line.
func clip(s string) string {
	const most = 160
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
