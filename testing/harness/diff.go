package harness

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Signs of the lines of a difference.
const (
	sameLine = " "
	wantLine = "-" // wanted, and not there
	gotLine  = "+" // there, and not wanted
)

// diffLine is one line of what is wanted, of what there is, or of both.
type diffLine struct {
	Sign, Text string
}

// maxDiff bounds the work of a comparison: lines of one side times lines of the other.
const maxDiff = 1 << 20

// Diff compares what a failure wants with what there is, line by line; documents are laid out for that. It is nil where both are short: they are
// read at a glance.
func (f Failure) Diff() []diffLine {
	want, got := layout(f.Want), layout(f.Got)
	if len(want) < 2 && len(got) < 2 {
		return nil
	}
	return diff(want, got)
}

// layout gives the lines of a document, or of a text.
func layout(text string) []string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") == nil {
		text = b.String()
	}
	return strings.Split(text, "\n")
}

// diff compares lines: the least that goes and comes, by the longest common subsequence.
func diff(want, got []string) (lines []diffLine) {
	var tail []diffLine
	for len(want) > 0 && len(got) > 0 && want[0] == got[0] {
		lines = append(lines, diffLine{sameLine, want[0]})
		want, got = want[1:], got[1:]
	}
	for len(want) > 0 && len(got) > 0 && want[len(want)-1] == got[len(got)-1] {
		tail = append([]diffLine{{sameLine, want[len(want)-1]}}, tail...)
		want, got = want[:len(want)-1], got[:len(got)-1]
	}
	if len(want)*len(got) > maxDiff { // nobody reads it line by line
		return append(append(append(lines, signed(wantLine, want)...), signed(gotLine, got)...), tail...)
	}
	common := make([][]int, len(want)+1) // of want[i:] and got[j:], how many lines
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(want) && j < len(got) {
		switch {
		case want[i] == got[j]:
			lines = append(lines, diffLine{sameLine, want[i]})
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			lines = append(lines, diffLine{wantLine, want[i]})
			i++
		default:
			lines = append(lines, diffLine{gotLine, got[j]})
			j++
		}
	}
	lines = append(append(lines, signed(wantLine, want[i:])...), signed(gotLine, got[j:])...)
	return append(lines, tail...)
}

func signed(sign string, texts []string) []diffLine {
	lines := make([]diffLine, len(texts))
	for i, text := range texts {
		lines[i] = diffLine{sign, text}
	}
	return lines
}
