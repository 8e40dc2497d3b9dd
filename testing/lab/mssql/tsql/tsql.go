// Package tsql evaluates a small part of Transact-SQL over tables in memory: SELECT with TOP, WHERE and ORDER BY on one table, for
// readers. It answers as Microsoft SQL Server does, error numbers included, and refuses every statement that writes.
package tsql

import (
	"fmt"
	"strings"
	"time"
)

// Type is the type of a column.
type Type string

// The types. Their values in Go are int64 (Int, BigInt), bool, string, float64 and time.Time; NULL is nil.
const (
	Int      Type = "int"
	BigInt   Type = "bigint"
	Bit      Type = "bit"
	NVarChar Type = "nvarchar"
	Float    Type = "float"
	DateTime Type = "datetime"
)

// Column is a column of a table or of a result.
type Column struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// Table is a table with its rows; each row has one value for each column.
type Table struct {
	Columns []Column `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

// Database is a named set of tables.
type Database struct {
	name   string
	tables map[string]Table // by schema.name in lower case
}

// Session is on whose behalf a batch runs.
type Session struct {
	User string
	// Tables are those that the user may read, as "dbo.assets"; nil is all.
	Tables []string
}

// Result is a set of rows.
type Result struct {
	Columns []Column
	Rows    [][]any
}

// Error is an error as the server words it.
type Error struct {
	Number  int32  `json:"number"`
	Class   uint8  `json:"class"` // severity
	State   uint8  `json:"state"`
	Line    int32  `json:"line"`
	Message string `json:"message"`
}

// Error gives number and message.
func (e *Error) Error() string { return fmt.Sprintf("mssql: error %d: %s", e.Number, e.Message) }

// NewDatabase checks tables, whose names are "schema.name" or "name" for schema dbo. It turns the values of the rows into those of
// their columns' types (int into int64, netip.Addr and other fmt.Stringers into string, times rounded to 1/300 seconds) and names the first that does not fit.
func NewDatabase(name string, tables map[string]Table) (*Database, error) {
	db := &Database{name: name, tables: make(map[string]Table, len(tables))}
	for full, t := range tables {
		rows := make([][]any, len(t.Rows))
		for i, row := range t.Rows {
			if len(row) != len(t.Columns) {
				return nil, fmt.Errorf("table %s, row %d: %d values for %d columns", full, i, len(row), len(t.Columns))
			}
			rows[i] = make([]any, len(row))
			for j, v := range row {
				var ok bool
				if rows[i][j], ok = t.Columns[j].Type.fit(v); !ok {
					return nil, fmt.Errorf("table %s, row %d, column %s: %T is no %s", full, i, t.Columns[j].Name, v, t.Columns[j].Type)
				}
			}
		}
		if !strings.Contains(full, ".") {
			full = "dbo." + full
		}
		db.tables[strings.ToLower(full)] = Table{t.Columns, rows}
	}
	return db, nil
}

// Name is the database's name.
func (db *Database) Name() string { return db.name }

// fit turns v into a value of type t.
func (t Type) fit(v any) (any, bool) {
	switch x := v.(type) {
	case nil:
		return nil, true
	case int:
		return int64(x), t == Int || t == BigInt
	case int32:
		return int64(x), t == Int || t == BigInt
	case int64:
		return x, t == Int || t == BigInt
	case bool:
		return x, t == Bit
	case float64:
		return x, t == Float
	case time.Time:
		// datetime counts in 1/300 seconds
		day := x.UTC().Truncate(24 * time.Hour)
		ticks := int64((x.Sub(day)*300 + time.Second/2) / time.Second)
		return day.Add(time.Duration(ticks) * time.Second / 300), t == DateTime
	case string:
		return x, t == NVarChar
	case fmt.Stringer:
		return x.String(), t == NVarChar
	}
	return nil, false
}

// TypeOf is the type of a value that no column declares.
func TypeOf(v any) Type {
	switch v.(type) {
	case int64:
		return BigInt
	case bool:
		return Bit
	case float64:
		return Float
	case time.Time:
		return DateTime
	case nil:
		return Int
	}
	return NVarChar
}

// Run executes batch with the values of its variables (by name, with the @; names are case-insensitive) and gives a result for each
// SELECT. The statements before an error have run; their results come with it.
func (db *Database) Run(s Session, batch string, vars map[string]any) ([]Result, *Error) {
	tokens, err := lex(batch)
	if err != nil {
		return nil, err
	}
	p := &parser{db: db, session: s, tokens: tokens, vars: make(map[string]any, len(vars))}
	for name, v := range vars {
		p.vars[strings.ToLower(name)] = v
	}
	var out []Result
	for p.peek().kind != tokEnd {
		if p.accept(";") {
			continue
		}
		q, err := p.statement()
		if err != nil {
			return out, err
		}
		if q == nil {
			continue
		}
		r, err := q.run()
		if err != nil {
			return out, err
		}
		out = append(out, *r)
	}
	return out, nil
}
