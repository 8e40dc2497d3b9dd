package hostcall

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Limits of sql.query.
const (
	defaultRows = 1000
	maxRows     = 100_000
	maxResult   = 8 << 20 // bytes of all values
)

// query is sql.query.
type query struct {
	abi.SQLRequest
	statement abi.Statement
	args      []any
}

func (q *query) capability() (kind, id string) { return "sql", q.Capability }

func (q *query) summary() string { return q.Statement }

func (q *query) authorise(r *capability.Right) (abi.Effect, *abi.Fault) {
	statement, refusal := r.SQL.Allow(q.Statement, q.Params)
	if refusal != nil {
		return "", refusal.Fault()
	}
	q.statement = statement
	for name, v := range q.Params {
		v, ok := sqlValue(v)
		if !ok {
			return "", abi.NewFault(abi.Invalid, "parameter "+name+" is a list or an object, or a number that SQL cannot hold", "give a text, a number, true, false or null")
		}
		q.args = append(q.args, sql.Named(name, v))
	}
	return statement.Effect, nil
}

// sqlValue gives a value of JSON as the driver takes it.
func sqlValue(v any) (any, bool) {
	switch v := v.(type) {
	case nil, string, bool:
		return v, true
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, true
		}
		f, err := v.Float64()
		return f, err == nil
	}
	return nil, false
}

func (q *query) perform(ctx context.Context, s *Session, g granted, key string) (any, *abi.Fault) {
	db, fault := s.database(g)
	if fault != nil {
		return nil, fault
	}
	where := g.right.SQL.Server.String()
	if q.statement.Effect == abi.Read {
		value, err := q.read(ctx, db, g.right.SQL)
		var answered mssql.Error
		if err != nil && !errors.As(err, &answered) && !errors.Is(err, errResult) && ctx.Err() == nil {
			value, err = q.read(ctx, db, g.right.SQL) // the server may have closed an idle connection
		}
		if err != nil {
			return nil, sqlFault(ctx, err, where)
		}
		return value, nil
	}
	if q.statement.Effect == abi.Keyed {
		q.args = append(q.args, sql.Named("riposte_key", key))
	}
	result, err := db.ExecContext(ctx, q.statement.SQL, q.args...)
	if err != nil {
		fault := sqlFault(ctx, err, where)
		var answered mssql.Error
		if q.statement.Effect == abi.Unsafe && !errors.As(err, &answered) && fault.Kind != abi.Refused {
			fault = inDoubt(fault)
		}
		return nil, fault
	}
	affected, err := result.RowsAffected()
	if err != nil {
		affected = 0
	}
	return abi.SQLResponse{Columns: []string{}, Rows: []map[string]any{}, Affected: affected}, nil
}

// errResult says that a result cannot be carried.
var errResult = errors.New("result")

func (q *query) read(ctx context.Context, db *sql.DB, right *capability.SQL) (*abi.SQLResponse, error) {
	rows, err := db.QueryContext(ctx, q.statement.SQL, q.args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	value := &abi.SQLResponse{Columns: columnNames(types), Rows: []map[string]any{}}
	limit := defaultRows
	if right.MaxRows > 0 {
		limit = min(right.MaxRows, maxRows)
	}
	cells, size := make([]any, len(types)), 0
	for i := range cells {
		cells[i] = new(any)
	}
	for rows.Next() {
		if len(value.Rows) == limit || size > maxResult {
			value.Truncated = true
			return value, nil
		}
		if err := rows.Scan(cells...); err != nil {
			return nil, fmt.Errorf("%w: a value cannot be read", errResult)
		}
		row := make(map[string]any, len(cells))
		for i, name := range value.Columns {
			v := cellValue(*cells[i].(*any), types[i].DatabaseTypeName())
			row[name] = v
			text, _ := v.(string)
			size += len(name) + len(text) + 8
		}
		value.Rows = append(value.Rows, row)
	}
	return value, rows.Err()
}

// columnNames gives every column a name of its own.
func columnNames(types []*sql.ColumnType) []string {
	names := make([]string, 0, len(types))
	for i, t := range types {
		name := t.Name()
		if name == "" || slices.Contains(names, name) {
			name = fmt.Sprintf("%s_%d", t.Name(), i+1)
		}
		names = append(names, name)
	}
	return names
}

// cellValue gives a value as JSON holds it: times as RFC 3339, decimals as their digits, GUIDs as text, other bytes as hexadecimal "0x…".
func cellValue(v any, databaseType string) any {
	switch v := v.(type) {
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case []byte:
		switch databaseType {
		case "UNIQUEIDENTIFIER":
			var id mssql.UniqueIdentifier
			if id.Scan(v) == nil {
				return id.String()
			}
		case "DECIMAL", "NUMERIC", "MONEY", "SMALLMONEY":
			return string(v)
		}
		return fmt.Sprintf("0x%X", v)
	}
	return v
}

// poolKey is all that a pool's connections depend on.
type poolKey struct {
	tls, mode, server, database, user string
}

// pool are the connections of one login to one server.
type pool struct {
	db      *sql.DB
	version string // of the password
}

func (p *pool) close() { _ = p.db.Close() }

// database gives the pool of a right; a changed password makes a new one.
func (s *Session) database(g granted) (*sql.DB, *abi.Fault) {
	right, user, password, version := g.right.SQL, "", "", ""
	if auth := g.right.Auth; auth != nil {
		value, fault := s.secretFor(auth)
		if fault != nil {
			return nil, fault
		}
		if user, fault = s.setting(auth.User); fault != nil {
			return nil, fault
		}
		password, version = value.Reveal(), value.Version()
	}
	key := poolKey{g.tls.key, right.TLS, right.Server.String(), right.Database, user}
	services := s.o.Services
	services.mu.Lock()
	defer services.mu.Unlock()
	if p, ok := services.pools[key]; ok {
		if p.version == version {
			return p.db, nil
		}
		go p.close() // waits for the queries that run on it
	}
	config, err := sqlConfig(right, g.tls)
	if err != nil || services.closed {
		return nil, abi.NewFault(abi.Internal, "the database cannot be opened", "")
	}
	config.User, config.Password = user, password
	connector := mssql.NewConnectorConfig(config)
	connector.Dialer = hostDialer{services.dialer(true), right.Server.Host.String()}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(2)
	db.SetConnMaxIdleTime(time.Minute)
	services.pools[key] = &pool{db, version}
	return db, nil
}

// sqlConfig is made without a text that holds user or password.
func sqlConfig(right *capability.SQL, terms *clientTLS) (msdsn.Config, error) {
	dsn := url.URL{Scheme: "sqlserver", Host: right.Server.String(), RawQuery: url.Values{"database": {right.Database}, "app name": {"riposte"}}.Encode()}
	config, err := msdsn.Parse(dsn.String())
	if err != nil {
		return config, err
	}
	config.DisableRetry = true // a statement that was sent is not sent again behind our back
	config.Encryption = map[string]msdsn.Encryption{"off": msdsn.EncryptionDisabled, "on": msdsn.EncryptionRequired, "opportunistic": msdsn.EncryptionOff}[right.TLS]
	config.TLSConfig = nil
	if right.TLS != "off" {
		config.TLSConfig = terms.forHost(right.Server.Host)
		config.TLSConfig.DynamicRecordSizingDisabled = true // SQL Server expects one segment for each packet
	}
	return config, nil
}

// hostDialer makes the driver leave the look-up of the name to the guarded dialer.
type hostDialer struct {
	*net.Dialer
	host string
}

// HostName is the driver's sign that this dialer takes names.
func (d hostDialer) HostName() string { return d.host }

func sqlFault(ctx context.Context, err error, where string) *abi.Fault {
	var answered mssql.Error
	switch {
	case errors.As(err, &answered):
		kind := abi.Failed
		switch answered.Number {
		case 18456, 18452, 4060: // login failed; database not to be opened by this login
			kind = abi.Unauthorized
		case 1205: // chosen as the victim of a deadlock
			kind = abi.Conflict
		}
		message, _, _ := strings.Cut(answered.Message, "\n")
		return &abi.Fault{Kind: kind, Message: fmt.Sprintf("%s: error %d: %.300s", where, answered.Number, message), Retryable: answered.Number == 1205}
	case strings.Contains(err.Error(), "TLS Handshake failed"): // the driver keeps only the text of the cause
		_, why, _ := strings.Cut(err.Error(), "TLS Handshake failed: ")
		return &abi.Fault{Kind: abi.Unavailable, Message: fmt.Sprintf("%s: the TLS handshake failed: %.200s", where, why), Hint: "check tls of the grant"}
	case errors.Is(err, errResult):
		return abi.NewFault(abi.Failed, where+": "+err.Error(), "")
	}
	return netFault(ctx, err, where)
}
