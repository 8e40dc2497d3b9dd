package tsql

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (q *query) run() (*Result, *Error) {
	r := &Result{}
	for _, it := range q.items {
		r.Columns = append(r.Columns, Column{it.name, it.expr.typ()})
	}
	rows := [][]any{nil} // SELECT without FROM is one row
	if q.table != nil {
		rows = q.table.Rows
	}
	found, err := q.filter(rows)
	if err != nil {
		return nil, err
	}
	if q.count {
		r.Rows = [][]any{{int64(len(found))}}
		return r, nil
	}
	if err := q.sort(found); err != nil {
		return nil, err
	}
	for _, row := range found[:min(int64(len(found)), q.top)] {
		out := make([]any, len(q.items))
		for i, it := range q.items {
			if out[i], err = it.expr.eval(row); err != nil {
				return nil, err
			}
		}
		r.Rows = append(r.Rows, out)
	}
	return r, nil
}

// filter gives the rows for which WHERE is true, not false or unknown.
func (q *query) filter(rows [][]any) ([][]any, *Error) {
	var out [][]any
	for _, row := range rows {
		if q.where != nil {
			v, err := q.where.eval(row)
			if err != nil {
				return nil, err
			}
			if v != true {
				continue
			}
		}
		out = append(out, row)
	}
	return out, nil
}

func (q *query) sort(rows [][]any) (err *Error) {
	slices.SortStableFunc(rows, func(a, b []any) int {
		for _, o := range q.orderBy {
			x, e1 := o.expr.eval(a)
			y, e2 := o.expr.eval(b)
			if e := cmp.Or(e1, e2); e != nil {
				err = e
				return 0
			}
			c := 0
			switch {
			case x == nil && y != nil:
				c = -1
			case x != nil && y == nil:
				c = 1
			case x != nil:
				c = order3(x, y)
			}
			if o.desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return err
}

func (n literal) eval([]any) (any, *Error)    { return n.value, nil }
func (n column) eval(row []any) (any, *Error) { return row[n.index], nil }

func (n concat) eval(row []any) (any, *Error) {
	a, b, err := both(n.a, n.b, row)
	if a == nil || b == nil || err != nil {
		return nil, err
	}
	if a, b, err = align(a, b); err != nil {
		return nil, err
	}
	switch x := a.(type) {
	case string:
		return x + b.(string), nil
	case int64:
		return x + b.(int64), nil
	case float64:
		return x + b.(float64), nil
	}
	return nil, &Error{402, 16, 1, 1, "The data types are incompatible in the add operator."}
}

func (n fold) eval(row []any) (any, *Error) {
	v, err := n.arg.eval(row)
	if v == nil || err != nil {
		return nil, err
	}
	return n.with(text(v)), nil
}

func (n compare) eval(row []any) (any, *Error) {
	a, b, err := both(n.a, n.b, row)
	if a == nil || b == nil || err != nil {
		return nil, err
	}
	if a, b, err = align(a, b); err != nil {
		return nil, err
	}
	c := order3(a, b)
	switch n.op {
	case "=":
		return c == 0, nil
	case "<":
		return c < 0, nil
	case ">":
		return c > 0, nil
	case "<=":
		return c <= 0, nil
	case ">=":
		return c >= 0, nil
	}
	return c != 0, nil
}

func (n like) eval(row []any) (any, *Error) {
	a, b, err := both(n.a, n.pattern, row)
	if a == nil || b == nil || err != nil {
		return nil, err
	}
	if len(text(b)) > maxPattern {
		return nil, &Error{8152, 16, 10, 1, "String or binary data would be truncated: a LIKE pattern has at most 8000 bytes."}
	}
	return matches(text(a), text(b), n.escape), nil
}

func (n isNull) eval(row []any) (any, *Error) {
	v, err := n.a.eval(row)
	return v == nil, err
}

func (n not) eval(row []any) (any, *Error) {
	v, err := n.a.eval(row)
	if v == nil || err != nil {
		return nil, err
	}
	return v == false, nil
}

func (n and) eval(row []any) (any, *Error) {
	a, err := n.a.eval(row)
	if a == false || err != nil {
		return false, err
	}
	b, err := n.b.eval(row)
	if b == false || a == nil || err != nil {
		return boolOr(b == false, false), err
	}
	return b, nil
}

func (n or) eval(row []any) (any, *Error) {
	a, err := n.a.eval(row)
	if a == true || err != nil {
		return true, err
	}
	b, err := n.b.eval(row)
	if b == true || a == nil || err != nil {
		return boolOr(b == true, true), err
	}
	return b, nil
}

// boolOr is v if it is known, else nil.
func boolOr(known, v bool) any {
	if known {
		return v
	}
	return nil
}

func both(a, b node, row []any) (any, any, *Error) {
	x, err := a.eval(row)
	if err != nil {
		return nil, nil, err
	}
	y, err := b.eval(row)
	return x, y, err
}

// rank is the precedence of types: of two that meet, the lower is converted.
func rank(t Type) int {
	return slices.Index([]Type{NVarChar, Bit, Int, BigInt, Float, DateTime}, t)
}

// align brings two values to one type.
func align(a, b any) (any, any, *Error) {
	ta, tb := TypeOf(a), TypeOf(b)
	var err *Error
	if rank(ta) < rank(tb) {
		a, err = convert(a, tb)
	} else if rank(tb) < rank(ta) {
		b, err = convert(b, ta)
	} else if ta == NVarChar {
		a, b = text(a), text(b)
	}
	return a, b, err
}

// convert brings a value of a lower type up to t.
func convert(v any, t Type) (any, *Error) {
	switch x := v.(type) {
	case bool:
		n := int64(0)
		if x {
			n = 1
		}
		return convert(n, t)
	case int64:
		switch t {
		case Float:
			return float64(x), nil
		case DateTime:
			return epoch.AddDate(0, 0, int(x)), nil
		}
		return x, nil
	case float64:
		return epoch.Add(time.Duration(x * 24 * float64(time.Hour))), nil
	}
	s := strings.TrimSpace(text(v))
	switch t {
	case Bit:
		if b, err := strconv.ParseBool(s); err == nil {
			return b, nil
		}
	case BigInt, Int:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
	case Float:
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f, nil
		}
		return nil, &Error{8114, 16, 5, 1, "Error converting data type nvarchar to float."}
	case DateTime:
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly, "20060102"} {
			if d, err := time.Parse(layout, s); err == nil {
				return d, nil
			}
		}
		return nil, &Error{241, 16, 1, 1, "Conversion failed when converting date and/or time from character string."}
	}
	if t == BigInt {
		t = Int
	}
	return nil, &Error{245, 16, 1, 1, "Conversion failed when converting the nvarchar value '" + clip(s) + "' to data type " + string(t) + "."}
}

// epoch is day 0 of datetime.
var epoch = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// text is v as nvarchar.
func text(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case int64:
		return strconv.FormatInt(x, 10)
	case bool:
		if x {
			return "1"
		}
		return "0"
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case time.Time:
		return x.Format("2006-01-02 15:04:05.000")
	case []byte:
		return "0x" + hex.EncodeToString(x)
	}
	return ""
}

// order3 compares two values of one type. Text is compared without regard to case and to spaces at its end, as the server's default
// collation does.
func order3(a, b any) int {
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	case float64:
		if y, ok := b.(float64); ok {
			return cmp.Compare(x, y)
		}
	case bool:
		if y, ok := b.(bool); ok && x != y {
			return cmp.Compare(text(x), text(y))
		} else if ok {
			return 0
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y)
		}
	}
	fold := func(v any) string { return strings.ToLower(strings.TrimRight(text(v), " ")) }
	return strings.Compare(fold(a), fold(b))
}
