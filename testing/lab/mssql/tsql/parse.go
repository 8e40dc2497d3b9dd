package tsql

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds the nesting of expressions.
const maxDepth = 100

type parser struct {
	db      *Database
	session Session
	tokens  []token
	vars    map[string]any
	table   *Table // of the SELECT at hand; nil without FROM
	alias   string // other name of it, in lower case
	depth   int
}

// query is a SELECT that was checked.
type query struct {
	table   *Table
	items   []item
	count   bool // the only item is COUNT(*)
	top     int64
	where   node
	orderBy []order
}

type item struct {
	name string
	expr node
}

type order struct {
	expr node
	desc bool
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != tokEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the next tokens if they are these keywords or signs.
func (p *parser) accept(texts ...string) bool {
	for i, text := range texts {
		if i >= len(p.tokens) || !p.tokens[i].is(text) {
			return false
		}
	}
	p.tokens = p.tokens[len(texts):]
	return true
}

func (p *parser) expect(text string) *Error {
	if !p.accept(text) {
		return near(p.peek())
	}
	return nil
}

// statement reads one statement; the query is nil if it returns no rows.
func (p *parser) statement() (*query, *Error) {
	t := p.next()
	switch verb := strings.ToUpper(t.text); {
	case t.kind != tokWord:
		return nil, near(t)
	case verb == "SELECT":
		return p.selection()
	case verb == "SET":
		return nil, p.setting()
	case verb == "USE":
		if n := p.next(); !strings.EqualFold(n.text, p.db.name) {
			return nil, &Error{911, 16, 1, n.line, "Database '" + n.text + "' does not exist. Make sure that the name is entered correctly."}
		}
		return nil, nil
	default:
		return nil, p.forbidden(t, verb)
	}
}

// setting skips SET NOCOUNT ON and its like.
func (p *parser) setting() *Error {
	words := 0
	for t := p.peek(); t.kind != tokEnd && !t.is(";") && (!t.isKeyword() || t.is("on")); t = p.peek() {
		p.next()
		words++
	}
	if words < 2 {
		return near(p.peek())
	}
	return nil
}

// forbidden says why a statement that writes, or runs a procedure, does not happen: everybody here is a reader.
func (p *parser) forbidden(t token, verb string) *Error {
	for p.accept("into") || p.accept("from") || p.accept("table") || p.accept("procedure") || p.accept("view") {
	}
	_, name, err := p.objectName()
	if err != nil {
		return err
	}
	switch verb {
	case "INSERT", "UPDATE", "DELETE", "MERGE":
		if _, known := p.db.tables[name]; !known {
			return unknownObject(name, t.line)
		}
		return p.denied(verb, name, t.line)
	case "EXEC", "EXECUTE":
		if strings.HasPrefix(name, "dbo.xp_") {
			return p.denied("EXECUTE", name, t.line)
		}
		return &Error{2812, 16, 62, t.line, "Could not find stored procedure '" + strings.TrimPrefix(name, "dbo.") + "'."}
	case "DROP", "ALTER", "TRUNCATE":
		return &Error{3701, 11, 5, t.line, "Cannot " + strings.ToLower(verb) + " the object '" + name + "', because it does not exist or you do not have permission."}
	case "CREATE":
		return &Error{262, 14, 1, t.line, "CREATE permission denied in database '" + p.db.name + "'."}
	}
	return near(t)
}

func (p *parser) denied(verb, name string, line int32) *Error {
	schema, object, _ := strings.Cut(name, ".")
	return &Error{229, 14, 5, line, "The " + verb + " permission was denied on the object '" + object + "', database '" + p.db.name + "', schema '" + schema + "'."}
}

func unknownObject(name string, line int32) *Error {
	return &Error{208, 16, 1, line, "Invalid object name '" + name + "'."}
}

// objectName reads [[database.]schema.]name and gives it as written and as schema.name in lower case.
func (p *parser) objectName() (written, key string, err *Error) {
	var parts []string
	for {
		t := p.next()
		if t.kind != tokName && (t.kind != tokWord || t.isKeyword()) {
			return "", "", near(t)
		}
		parts = append(parts, t.text)
		if !p.accept(".") {
			break
		}
	}
	written = strings.Join(parts, ".")
	if len(parts) == 3 && strings.EqualFold(parts[0], p.db.name) {
		parts = parts[1:]
	}
	if len(parts) == 1 {
		parts = []string{"dbo", parts[0]}
	}
	return written, strings.ToLower(strings.Join(parts, ".")), nil
}

// selection reads a SELECT after its verb. The list is read after FROM, whose columns it needs.
func (p *parser) selection() (*query, *Error) {
	p.table, p.alias = nil, ""
	q := &query{top: math.MaxInt64}
	p.accept("all")
	if p.accept("top") {
		if err := p.top(q); err != nil {
			return nil, err
		}
	}
	list := p.tokens
	for nesting := 0; ; p.next() {
		t := p.peek()
		if t.kind == tokEnd || nesting == 0 && (t.is("from") || startsStatement(t) || t.is(";")) {
			break
		}
		if t.is("(") {
			nesting++
		} else if t.is(")") {
			nesting--
		}
	}
	if p.accept("from") {
		if err := p.from(); err != nil {
			return nil, err
		}
		q.table = p.table
	}
	after := p.tokens
	p.tokens = list
	if err := p.list(q); err != nil {
		return nil, err
	}
	if q.table != nil {
		if t := p.peek(); !t.is("from") {
			return nil, near(t)
		}
		p.tokens = after
	}
	return q, p.clauses(q)
}

func (p *parser) top(q *query) *Error {
	parens := p.accept("(")
	t := p.peek()
	n, err := p.operand()
	if err != nil {
		return err
	}
	v, err := n.eval(nil)
	if err != nil {
		return err
	}
	count, ok := v.(int64)
	if !ok || count < 0 {
		return &Error{1060, 15, 1, t.line, "The number of rows provided for a TOP or FETCH clauses row count parameter must be an integer."}
	}
	q.top = count
	if parens {
		return p.expect(")")
	}
	return nil
}

// from reads the table, its alias, and WITH (NOLOCK).
func (p *parser) from() *Error {
	line := p.peek().line
	written, key, err := p.objectName()
	if err != nil {
		return err
	}
	t, ok := p.db.tables[key]
	if !ok {
		return unknownObject(written, line)
	}
	if p.session.Tables != nil && !slices.ContainsFunc(p.session.Tables, func(s string) bool {
		return strings.EqualFold(s, key) || strings.EqualFold("dbo."+s, key)
	}) {
		return p.denied("SELECT", key, line)
	}
	p.table = &t
	p.alias = key[strings.IndexByte(key, '.')+1:]
	as := p.accept("as")
	if t := p.peek(); t.kind == tokName || t.kind == tokWord && !t.isKeyword() {
		p.alias = strings.ToLower(p.next().text)
	} else if as {
		return near(t)
	}
	if p.accept("with", "(") {
		p.next()
		return p.expect(")")
	}
	return nil
}

// list reads what is selected.
func (p *parser) list(q *query) *Error {
	for {
		if star := p.peek(); p.accept("*") {
			if p.table == nil {
				return &Error{263, 16, 1, star.line, "Must specify table to select from."}
			}
			for i, c := range p.table.Columns {
				q.items = append(q.items, item{c.Name, column{i, c.Type}})
			}
		} else if p.accept("count", "(", "*", ")") {
			q.count = true
			q.items = append(q.items, item{p.itemName(""), literal{nil, Int}})
		} else {
			name := p.peek()
			n, err := p.operand()
			if err != nil {
				return err
			}
			it := item{expr: n}
			if c, ok := n.(column); ok {
				it.name = p.table.Columns[c.index].Name
			}
			it.name = p.itemName(it.name)
			if q.count {
				return notAggregated(name)
			}
			q.items = append(q.items, it)
		}
		if q.count && len(q.items) > 1 {
			return notAggregated(p.peek())
		}
		if !p.accept(",") {
			return nil
		}
	}
}

func notAggregated(t token) *Error {
	return &Error{8120, 16, 1, t.line, "Column '" + clip(t.text) + "' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause."}
}

// itemName reads [AS] name, if it is there.
func (p *parser) itemName(name string) string {
	mark := p.tokens
	as := p.accept("as")
	if t := p.peek(); t.kind == tokName || t.kind == tokString || t.kind == tokWord && !t.isKeyword() {
		return p.next().text
	}
	if as {
		p.tokens = mark // the word AS is left for the caller to complain about
	}
	return name
}

// clauses reads WHERE and ORDER BY.
func (p *parser) clauses(q *query) (err *Error) {
	if p.accept("where") {
		near := p.peek()
		if q.where, err = p.or(); err != nil {
			return err
		}
		if !q.where.condition() {
			return &Error{4145, 15, 1, near.line, "An expression of non-boolean type specified in a context where a condition is expected, near '" + clip(near.text) + "'."}
		}
	}
	if p.accept("order", "by") {
		for {
			o, err := p.orderItem(q)
			if err != nil {
				return err
			}
			q.orderBy = append(q.orderBy, o)
			if !p.accept(",") {
				break
			}
		}
	}
	if t := p.peek(); t.kind != tokEnd && !t.is(";") && !startsStatement(t) {
		return near(t)
	}
	return nil
}

// startsStatement says whether a new statement may begin here without a semicolon.
func startsStatement(t token) bool {
	return slices.ContainsFunc([]string{"select", "set", "insert", "update", "delete", "merge", "exec", "execute", "drop", "create", "alter", "truncate", "use"}, t.is)
}

// orderItem reads a column, the name or the number of an item, and ASC or DESC.
func (p *parser) orderItem(q *query) (o order, err *Error) {
	t := p.peek()
	switch i := slices.IndexFunc(q.items, func(it item) bool { return it.name != "" && strings.EqualFold(it.name, t.text) }); {
	case t.kind == tokNumber:
		p.next()
		n, bad := strconv.Atoi(t.text)
		if bad != nil || n < 1 || n > len(q.items) {
			return o, &Error{108, 16, 1, t.line, "The ORDER BY position number " + t.text + " is out of range of the number of items in the select list."}
		}
		o.expr = q.items[n-1].expr
	case i >= 0 && !p.tokens[1].is("."):
		p.next()
		o.expr = q.items[i].expr
	default:
		if o.expr, err = p.operand(); err != nil {
			return o, err
		}
	}
	if !p.accept("asc") {
		o.desc = p.accept("desc")
	}
	return o, nil
}
