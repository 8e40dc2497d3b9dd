package plugins_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/mssql"
	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

const inventoryPassword = "inventory-lab-password"

type rowsResult struct {
	Rows      []map[string]any
	Columns   []string
	Count     int
	Truncated bool
}

func startMSSQL(t *testing.T, encrypted bool) (*mssql.Server, *connector) {
	t.Helper()
	assets := tsql.Table{Columns: []tsql.Column{{Name: "ip", Type: tsql.NVarChar}, {Name: "hostname", Type: tsql.NVarChar}, {Name: "owner", Type: tsql.NVarChar}, {Name: "id", Type: tsql.Int}}}
	for i, a := range world.Default().Assets {
		assets.Rows = append(assets.Rows, []any{a.IP.String(), a.Hostname, a.Owner, i})
	}
	s, err := mssql.Start(mssql.Options{Database: "cmdb", Tables: map[string]tsql.Table{"assets": assets}, RequireTLS: encrypted,
		Logins: []mssql.Login{{User: "reader", Password: inventoryPassword}}})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	settings := map[string]any{"server": s.Addr(), "database": "cmdb", "user": "reader", "password": secretSetting(inventoryPassword), "encrypt": "off",
		"statements": map[string]any{
			"asset-by-ip": map[string]any{"sql": "SELECT hostname, owner, id FROM dbo.assets WHERE ip = @ip", "params": []string{"ip"}},
			"all":         map[string]any{"sql": "SELECT * FROM dbo.assets"},
			"broken":      map[string]any{"sql": "SELECT FROM"},
		}}
	if !encrypted {
		return s, connect(t, "mssql", settings)
	}
	delete(settings, "encrypt") // on is the default
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	c := connect(t, "mssql", settings)
	c.grant["database"] = capability.Narrowing{TLS: &capability.TLS{CA: ca}}
	return s, c
}

func byIP(ip string) map[string]any {
	return map[string]any{"statement": "asset-by-ip", "params": map[string]any{"ip": ip}}
}

func TestMSSQL(t *testing.T) {
	for name, encrypted := range map[string]bool{"in clear text": false, "with TLS": true} {
		t.Run(name, func(t *testing.T) {
			s, c := startMSSQL(t, encrypted)
			got := must[rowsResult](c, "query", byIP("10.20.30.41"))
			if got.Count != 1 || len(got.Rows) != 1 || got.Rows[0]["owner"] != "bob.meyer@corp.test" || got.Rows[0]["id"] != 1.0 || !slices.Equal(got.Columns, []string{"hostname", "owner", "id"}) {
				t.Errorf("got %+v", got)
			}
			if seen := s.Queries(); len(seen) != 1 || seen[0].Params["@ip"] != "10.20.30.41" {
				t.Errorf("the server saw %+v", seen)
			}
			for _, odd := range []string{"10.20.40.99", "' OR 1=1 --", "ünïcode", ""} {
				if got := must[rowsResult](c, "query", byIP(odd)); got.Rows == nil || got.Count != 0 {
					t.Errorf("%q: got %+v", odd, got)
				}
			}
			if got := must[rowsResult](c, "query", map[string]any{"statement": "all"}); got.Count != len(world.Default().Assets) || got.Truncated {
				t.Errorf("got %+v", got)
			}
			c.grant["database"] = capability.Narrowing{MaxRows: 2, TLS: c.grant["database"].TLS}
			if got := must[rowsResult](c, "query", map[string]any{"statement": "all"}); got.Count != 2 || !got.Truncated {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestMSSQLRefusals(t *testing.T) {
	s, c := startMSSQL(t, false)
	for _, p := range []map[string]any{{"statement": "DROP TABLE assets"}, {"statement": "asset-by-ip"}, {"statement": "asset-by-ip", "params": map[string]any{"ip": "x", "more": 1}}} {
		fails(c, "query", p, abi.Refused)
	}
	for _, p := range []map[string]any{{}, {"statement": ""}, {"statement": "asset-by-ip", "params": map[string]any{"ip": []string{"x"}}}} {
		fails(c, "query", p, abi.Invalid)
	}
	if len(s.Queries()) != 0 {
		t.Errorf("the server saw %+v", s.Queries())
	}
	c.settings["password"] = secretSetting("not-the-right-password")
	fails(c, "query", byIP("10.20.30.41"), abi.Unauthorized)
	c.settings["statements"] = map[string]any{"x": map[string]any{"sql": "DELETE FROM assets", "effect": "write.unsafe"}}
	if c.bundle.CheckSettings(c.json(c.settings)) == nil {
		t.Error("a statement that writes was taken")
	}
	c.settings["password"] = secretSetting(inventoryPassword)
	fails(c, "query", map[string]any{"statement": "x"}, abi.Refused)
}

func TestMSSQLFaults(t *testing.T) {
	s, c := startMSSQL(t, false)
	fails(c, "query", map[string]any{"statement": "broken"}, abi.Failed)
	for _, test := range []struct {
		fault mssql.Fault
		kinds []abi.Kind
	}{
		{mssql.Fault{Kind: mssql.Raise}, []abi.Kind{abi.Conflict}}, // 1205, a deadlock
		{mssql.Fault{Kind: mssql.Raise, Number: 50000, Text: "own error"}, []abi.Kind{abi.Failed}},
		{mssql.Fault{Kind: mssql.Drop}, []abi.Kind{abi.Unavailable}},
		{mssql.Fault{Kind: mssql.Cut}, []abi.Kind{abi.Unavailable, abi.Failed}},
		{mssql.Fault{Kind: mssql.Garbage}, []abi.Kind{abi.Unavailable, abi.Failed}},
		{mssql.Fault{Kind: mssql.Hang}, []abi.Kind{abi.Timeout}},
		{mssql.Fault{Kind: mssql.Drop, On: "login"}, []abi.Kind{abi.Unavailable}},
	} {
		t.Run(string(test.fault.Kind)+test.fault.On+test.fault.Text, func(t *testing.T) {
			s, c := startMSSQL(t, false) // connections of a pool that broke are not used again
			if err := s.Fail(test.fault); err != nil {
				t.Fatal(err)
			}
			if test.fault.Kind == mssql.Hang {
				c.timeout = 500 * time.Millisecond
			}
			if f := c.run("query", byIP("10.20.30.41")).Fault; f == nil || !slices.Contains(test.kinds, f.Kind) {
				t.Errorf("got %v, want one of %v", f, test.kinds)
			}
		})
	}
	// An idle connection that the server closed is no fault.
	must[rowsResult](c, "query", byIP("10.20.30.41"))
	if err := s.Fail(mssql.Fault{Kind: mssql.Drop, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if got := must[rowsResult](c, "query", byIP("10.20.30.41")); got.Count != 1 {
		t.Errorf("got %+v", got)
	}
}
