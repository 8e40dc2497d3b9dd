package logpoint

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// kind is query_type of the answers.
func (p *plan) kind() string {
	if p.chart != nil {
		return "chart"
	}
	return "simple"
}

// columns and grouping are lists of those names, for the answers.
func (p *plan) columns() []string {
	out := []string{}
	if p.chart != nil {
		for _, c := range p.chart.calls {
			out = append(out, c.name)
		}
	}
	return out
}

func (p *plan) grouping() []string {
	if p.chart == nil || p.chart.group == nil {
		return []string{}
	}
	return p.chart.group
}

// rows makes the answer's rows. limit is that of the request, which as documented cuts simple searches only.
func (p *plan) rows(events []event, limit int) []map[string]any {
	var rows []map[string]any
	if p.chart != nil {
		rows, limit = p.chart.rows(events), 0
	} else {
		for _, e := range events {
			rows = append(rows, p.simple(e))
		}
	}
	if p.by != "" {
		slices.SortStableFunc(rows, func(a, b map[string]any) int {
			c := compareValues(a[p.by], b[p.by])
			if p.desc {
				return -c
			}
			return c
		})
	}
	for _, n := range []int{limit, p.limit} {
		if n > 0 && len(rows) > n {
			rows = rows[:n]
		}
	}
	if rows == nil {
		return []map[string]any{}
	}
	return rows
}

// simple makes a row of one log. As LogPoint does it the row names the fields by kind, and numbers are numbers.
func (p *plan) simple(e event) map[string]any {
	row := map[string]any{}
	for name, v := range e.fields {
		if p.only != nil && !slices.Contains(p.only, name) && name != "log_ts" {
			continue
		}
		row[name] = value(name, v)
	}
	return typed(row)
}

// typed adds the names of the fields, by kind, sorted.
func typed(row map[string]any) map[string]any {
	var num, ip, str []string
	for name := range row {
		switch {
		case isNumber(name):
			num = append(num, name)
		case strings.HasSuffix(name, "_address") || strings.HasSuffix(name, "_ip"):
			ip = append(ip, name)
		default:
			str = append(str, name)
			if _, ok := row[name].(int64); ok { // a column of a chart is listed as both
				num = append(num, name)
			}
		}
	}
	for key, names := range map[string][]string{"_type_num": num, "_type_ip": ip, "_type_str": append(str, ip...)} {
		slices.Sort(names)
		row[key] = ""
		if len(names) > 0 {
			row[key] = " " + strings.Join(names, " ")
		}
	}
	return row
}

// value gives numbers as numbers.
func value(field, text string) any {
	if isNumber(field) {
		n, _ := strconv.ParseInt(text, 10, 64) // the text was made of a number
		return n
	}
	return text
}

func isNumber(field string) bool {
	return strings.HasSuffix(field, "_port") || strings.HasSuffix(field, "_datasize") || field == "log_ts"
}

// rows groups the logs; logs without one of the fields are left out. The largest first column is first.
func (c *chart) rows(events []event) []map[string]any {
	groups := map[string][]event{}
	for _, e := range events {
		var key []string
		for _, field := range c.group {
			if v, ok := e.fields[field]; ok {
				key = append(key, v)
			}
		}
		if len(key) == len(c.group) {
			id := strings.Join(key, "\x00")
			groups[id] = append(groups[id], e)
		}
	}
	var rows []map[string]any
	for _, members := range groups {
		row := map[string]any{}
		names := []string{}
		for _, field := range c.group {
			row[field] = value(field, members[0].fields[field])
			names = append(names, members[0].fields[field])
		}
		for _, call := range c.calls {
			row[call.name] = call.value(members)
		}
		row = typed(row)
		row["_group"] = names
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b map[string]any) int {
		return cmp.Or(-compareValues(a[c.calls[0].name], b[c.calls[0].name]), slices.Compare(a["_group"].([]string), b["_group"].([]string)))
	})
	return rows
}

// value computes one column over a group. Fields that are no number count as 0 in sum, max and min.
func (c call) value(members []event) int64 {
	var out int64
	distinct := map[string]bool{}
	for i, e := range members {
		text, has := e.fields[c.field]
		n, _ := strconv.ParseInt(text, 10, 64)
		switch c.fn {
		case "count":
			if has || c.field == "" {
				out++
			}
		case "sum":
			out += n
		case "max":
			if i == 0 || n > out {
				out = n
			}
		case "min":
			if i == 0 || n < out {
				out = n
			}
		case "distinct_count":
			if has && !distinct[text] {
				distinct[text] = true
				out++
			}
		}
	}
	return out
}

// compareValues orders numbers as numbers and everything else as text, numbers first.
func compareValues(a, b any) int {
	x, isX := a.(int64)
	y, isY := b.(int64)
	switch {
	case isX && isY:
		return cmp.Compare(x, y)
	case isX:
		return -1
	case isY:
		return 1
	}
	s, _ := a.(string)
	t, _ := b.(string)
	return strings.Compare(s, t)
}
