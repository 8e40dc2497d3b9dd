package mssql_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/testing/lab/mssql"
)

func TestFaultsOnQueries(t *testing.T) {
	s := start(t, options())
	const text = "SELECT hostname FROM assets WHERE ip = @p1"
	ask := func(db *sql.DB) error {
		return db.QueryRowContext(t.Context(), text, "10.20.30.40").Scan(new(string))
	}
	for _, c := range []struct {
		fault mssql.Fault
		check func(error) bool
	}{
		{mssql.Fault{Kind: mssql.Delay, DelayMS: 1}, func(err error) bool { return err == nil }},
		{mssql.Fault{Kind: mssql.Raise}, func(err error) bool { return number(err) == 1205 }},
		{mssql.Fault{Kind: mssql.Raise, Number: 50001, Text: "out of order"}, func(err error) bool {
			return number(err) == 50001 && strings.Contains(err.Error(), "out of order")
		}},
		{mssql.Fault{Kind: mssql.Raise, Number: 596, Class: 21}, func(err error) bool { return err != nil }},
		{mssql.Fault{Kind: mssql.Drop}, func(err error) bool { return err != nil && number(err) == 0 }},
		{mssql.Fault{Kind: mssql.Cut}, func(err error) bool { return err != nil && number(err) == 0 }},
		{mssql.Fault{Kind: mssql.Garbage}, func(err error) bool { return err != nil && number(err) == 0 }},
	} {
		s.Reset()
		db := open(t, s)
		c.fault.Times, c.fault.Match = 1, "hostname from"
		if err := s.Fail(c.fault); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRowContext(t.Context(), "SELECT id FROM assets").Scan(new(int)); err != nil {
			t.Errorf("%s befell another query: %v", c.fault.Kind, err)
		}
		if err := ask(db); !c.check(err) {
			t.Errorf("%+v: %v", c.fault, err)
		}
		if c.fault.Class >= 20 {
			_ = ask(db) // the driver notices only now that the server hung up
		}
		if err := ask(db); err != nil {
			t.Errorf("after %s: %v", c.fault.Kind, err)
		}
		if q := s.Queries(); q[1].Fault != c.fault.Kind {
			t.Errorf("%s: seen %+v", c.fault.Kind, q)
		}
	}
	for _, f := range []mssql.Fault{{Kind: "sulk"}, {Kind: mssql.Drop, On: "tuesday"}, {Kind: mssql.Raise, Class: 26}} {
		if err := s.Fail(f); err == nil {
			t.Errorf("%+v was armed", f)
		}
	}
}

func TestFaultsOnLogin(t *testing.T) {
	s := start(t, options())
	for _, f := range []mssql.Fault{{Kind: mssql.Drop}, {Kind: mssql.Cut}, {Kind: mssql.Raise, Number: 18461, Class: 14}} {
		f.On, f.Match = "login", "riposte"
		s.Reset()
		if err := s.Fail(f); err != nil {
			t.Fatal(err)
		}
		if err := open(t, s).PingContext(t.Context()); err == nil || number(err) != f.Number {
			t.Errorf("%+v: %v", f, err)
		}
		if l := s.Logins(); len(l) == 0 || l[0].Fault != f.Kind {
			t.Errorf("%+v: logins %+v", f, l)
		}
	}
}

func TestACancelledQueryLeavesTheConnectionUsable(t *testing.T) {
	s := start(t, options())
	db := open(t, s)
	db.SetMaxOpenConns(1)
	for _, f := range []mssql.Fault{{Kind: mssql.Hang}, {Kind: mssql.Delay, DelayMS: 3_600_000}} {
		s.Reset()
		f.Times = 1
		if err := s.Fail(f); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- db.QueryRowContext(ctx, "SELECT id FROM assets").Scan(new(int)) }()
		if err := s.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", f.Kind, err)
		}
		if err := db.QueryRowContext(t.Context(), "SELECT id FROM assets").Scan(new(int)); err != nil {
			t.Errorf("after %s: %v", f.Kind, err)
		}
	}
}

func TestCloseEndsAHangingQuery(t *testing.T) {
	s := start(t, options())
	db := open(t, s)
	if err := s.Fail(mssql.Fault{Kind: mssql.Hang}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- db.QueryRow("SELECT id FROM assets").Scan(new(int)) }()
	if err := s.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("answered after Close")
	}
}
