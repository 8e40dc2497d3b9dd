package harness

import "regexp"

// orders are the control characters, with those that turn the direction of writing; and, as one, the colours that a report is painted in. What plugins
// and those whom they ask say goes to terminals and into XML, of which one obeys control characters and the other has none.
var orders = regexp.MustCompile("\x1b\\[(?:0|1|2|31|32|33|36)m|[\\x00-\\x08\\x0b-\\x1f\\x7f\u0080-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

// calm gives text that orders nothing, but for the colours of a report where it is painted. Line feeds and tabs stay.
func calm(text string, painted bool) string {
	return orders.ReplaceAllStringFunc(text, func(order string) string {
		switch c := order[0]; {
		case len(order) > 1 && c == '\x1b' && painted:
			return order
		case c == 0x7f:
			return "\u2421"
		case c < ' ':
			return string('\u2400'+rune(c)) + order[1:] // the pictures of the control characters
		}
		return "\ufffd"
	})
}
