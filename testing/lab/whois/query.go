package whois

import (
	"fmt"
	"strings"
)

// MaxQuery is the longest query line, in bytes, without its line end.
const MaxQuery = 512

// Query is one line of a client, taken apart.
type Query struct {
	Flags  []string `json:"flags,omitempty"` // in the client's order; a flag with a value is one entry, "-T inetnum"
	Target string   `json:"target"`          // what is asked for: an address, a prefix, a name
}

// valued are the RIPE flags that take a value (RIPE Database query reference).
const valued = "iTsVqtvg"

// ParseQuery takes a query line apart. It knows the flags of RIPE ("-B -T inetnum x", "--no-filtering x") and those of ARIN
// ("n + x": single letters and signs before the target, "n +x"); what is left, joined by single spaces, is the target.
func ParseQuery(line string) (Query, error) {
	line = strings.TrimRight(line, "\r\n")
	if len(line) > MaxQuery {
		return Query{}, fmt.Errorf("query: %d bytes, expected at most %d", len(line), MaxQuery)
	}
	for i := range len(line) {
		if line[i] < ' ' && line[i] != '\t' || line[i] == 0x7f {
			return Query{}, fmt.Errorf("query: control character at byte %d", i+1)
		}
	}
	var q Query
	words := strings.Fields(line)
	for len(words) > 0 && isFlag(words) {
		n := 1
		if w := words[0]; len(w) == 2 && w[0] == '-' && strings.IndexByte(valued, w[1]) >= 0 && len(words) > 1 {
			n = 2
		}
		q.Flags = append(q.Flags, strings.Join(words[:n], " "))
		words = words[n:]
	}
	if len(words) == 0 {
		return q, fmt.Errorf("query: nothing asked for; expected an address, a prefix or a name")
	}
	// ARIN and Verisign let signs stand directly before the target: "+192.0.2.1", "=example.com".
	for len(words[0]) > 1 && strings.IndexByte("+=!", words[0][0]) >= 0 {
		q.Flags = append(q.Flags, words[0][:1])
		words[0] = words[0][1:]
	}
	q.Target = strings.Join(words, " ")
	return q, nil
}

func isFlag(words []string) bool {
	w := words[0]
	if len(w) > 1 && w[0] == '-' {
		return true
	}
	return len(w) == 1 && len(words) > 1 && strings.IndexByte("naopzrdesh+=-!@.<>$%", w[0]|flagCase(w[0])) >= 0
}

// flagCase is the bit that makes a letter lower case, 0 for other bytes.
func flagCase(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return 0x20
	}
	return 0
}
