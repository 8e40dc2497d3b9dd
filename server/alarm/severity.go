package alarm

import "strings"

// Severity is how bad the sender says it is: one of OCSF's severity words (schema.ocsf.io, attribute severity_id) and a score from
// 0 to 100.
type Severity struct {
	Name  string
	Score int
}

// OCSF's words for a severity.
const (
	Unknown       = "unknown"
	Informational = "informational"
	Low           = "low"
	Medium        = "medium"
	High          = "high"
	Critical      = "critical"
	Fatal         = "fatal"
)

// SeverityOfScore names a score from 0 to 100: informational below 10, low below 40, medium below 70, high below 90, critical from
// there on. With ten points a step these are the bands of CEF's 0–10. A score out of range is brought into it.
func SeverityOfScore(score int) Severity {
	score = min(max(score, 0), 100)
	switch {
	case score < 10:
		return Severity{Informational, score}
	case score < 40:
		return Severity{Low, score}
	case score < 70:
		return Severity{Medium, score}
	case score < 90:
		return Severity{High, score}
	default:
		return Severity{Critical, score}
	}
}

// SeverityOfWord understands OCSF's words and those that devices write instead (Very-High, MAJOR, warning, err …), in any case. It
// returns false, and the unknown severity, for other words.
func SeverityOfWord(word string) (Severity, bool) {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "fatal", "emergency", "emerg", "panic":
		return Severity{Fatal, 100}, true
	case "critical", "crit", "alert", "very-high", "very high", "veryhigh", "very_high", "severe":
		return Severity{Critical, 95}, true
	case "high", "major", "error", "err":
		return Severity{High, 75}, true
	case "medium", "moderate", "warning", "warn", "average":
		return Severity{Medium, 50}, true
	case "low", "minor", "notice":
		return Severity{Low, 25}, true
	case "informational", "information", "info", "debug", "none":
		return Severity{Informational, 0}, true
	case "unknown":
		return Severity{Unknown, 0}, true
	}
	return Severity{Unknown, 0}, false
}
