package tsql_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
)

func cmdb(t testing.TB) *tsql.Database {
	t.Helper()
	seen := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	row := func(ip, host, owner string, id int, critical any) []any {
		return []any{netip.MustParseAddr(ip), host, owner, id, critical, seen.AddDate(0, 0, id), float64(id) / 2}
	}
	db, err := tsql.NewDatabase("cmdb", map[string]tsql.Table{
		"assets": {
			Columns: []tsql.Column{{Name: "ip", Type: tsql.NVarChar}, {Name: "hostname", Type: tsql.NVarChar}, {Name: "owner", Type: tsql.NVarChar}, {Name: "id", Type: tsql.Int}, {Name: "critical", Type: tsql.Bit}, {Name: "seen", Type: tsql.DateTime}, {Name: "score", Type: tsql.Float}},
			Rows: [][]any{
				row("10.20.31.7", "srv-build-02.corp.test", "carol.diaz@corp.test", 3, true),
				row("10.20.30.40", "ws-0140.corp.test", "alice.jones@corp.test", 1, false),
				row("10.20.30.41", "fin-0007.corp.test", "bob.meyer@corp.test", 2, nil),
			},
		},
		"hr.salaries": {Columns: []tsql.Column{{Name: "amount", Type: tsql.BigInt}}, Rows: [][]any{{int64(1) << 40}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// show writes results as "a,b|c,d", several joined by " & ".
func show(results []tsql.Result) string {
	var sets []string
	for _, r := range results {
		var rows []string
		for _, row := range r.Rows {
			var vals []string
			for _, v := range row {
				if at, ok := v.(time.Time); ok {
					v = at.Format(time.DateOnly)
				}
				vals = append(vals, fmt.Sprint(v))
			}
			rows = append(rows, strings.Join(vals, ","))
		}
		sets = append(sets, strings.Join(rows, "|"))
	}
	return strings.Join(sets, " & ")
}

func TestSelect(t *testing.T) {
	db := cmdb(t)
	vars := map[string]any{"@ip": "10.20.30.40", "@id": int64(2), "@none": nil, "@when": time.Date(2031, 2, 5, 0, 0, 0, 0, time.UTC), "@yes": true, "@n": int64(1)}
	for sql, want := range map[string]string{
		"SELECT hostname, owner FROM dbo.assets WHERE ip = @ip":                       "ws-0140.corp.test,alice.jones@corp.test",
		"select [hostname] as \"h\" from [cmdb].[dbo].[assets] as a where a.[ip]=@IP": "ws-0140.corp.test",
		"SELECT TOP 1 id FROM assets ORDER BY id DESC":                                "3",
		"SELECT TOP (@n) id FROM assets WITH (NOLOCK) ORDER BY 1":                     "1",
		"SELECT id n FROM assets ORDER BY n":                                          "1|2|3",
		"SELECT id FROM assets ORDER BY critical, id":                                 "2|1|3",
		"SELECT id FROM assets WHERE hostname LIKE 'WS-%' AND critical = 0":           "1",
		"SELECT id FROM assets WHERE hostname LIKE '%' + 'build' + '%'":               "3",
		"SELECT id FROM assets WHERE hostname LIKE '[a-f]in-____.corp.test'":          "2",
		"SELECT id FROM assets WHERE hostname LIKE '[^fs]%'":                          "1",
		"SELECT id FROM assets WHERE hostname LIKE 'ws!-%' ESCAPE '!'":                "1",
		"SELECT id FROM assets WHERE hostname NOT LIKE '%.test'":                      "",
		"SELECT id FROM assets WHERE owner = 'ALICE.JONES@corp.test  '":               "1",
		"SELECT id FROM assets WHERE id IN (1, 3) ORDER BY id":                        "1|3",
		"SELECT id FROM assets WHERE id NOT IN (1, 3)":                                "2",
		"SELECT id FROM assets WHERE id BETWEEN 2 AND 3 ORDER BY id":                  "2|3",
		"SELECT id FROM assets WHERE id = '2'":                                        "2",
		"SELECT id FROM assets WHERE id <> @id AND NOT (id = 1 OR id = 2)":            "3",
		"SELECT id FROM assets WHERE critical IS NULL":                                "2",
		"SELECT id FROM assets WHERE critical IS NOT NULL ORDER BY id":                "1|3",
		"SELECT id FROM assets WHERE critical = @yes":                                 "3",
		"SELECT id FROM assets WHERE critical <> 'true'":                              "1",
		"SELECT id FROM assets WHERE critical = NULL OR ip = @none":                   "",
		"SELECT id FROM assets WHERE seen > @when ORDER BY id":                        "2|3",
		"SELECT id FROM assets WHERE seen < '2031-02-05'":                             "1",
		"SELECT id FROM assets WHERE score >= 1 AND score < 1.5":                      "2",
		"SELECT ip FROM assets WHERE ip = '' OR 1=1 -- '":                             "10.20.31.7|10.20.30.40|10.20.30.41",
		"SELECT COUNT(*) AS n FROM assets WHERE id > 1":                               "2",
		"SELECT UPPER(hostname) FROM assets WHERE LOWER(ip) = @ip":                    "WS-0140.CORP.TEST",
		"SELECT * FROM hr.salaries":                                                   "1099511627776",
		"SET NOCOUNT ON; SELECT 1 AS one, N'it''s', -2, NULL; SELECT DB_NAME()":       "1,it's,-2,<nil> & cmdb",
		"SET NOCOUNT ON\nSELECT 1 /* one */ SELECT id + 1 FROM assets WHERE id = 1;;": "1 & 2",
		"USE cmdb": "",
		"":         "",
	} {
		got, err := db.Run(tsql.Session{User: "reader"}, sql, vars)
		if err != nil || show(got) != want {
			t.Errorf("%s\n got %q, %v\nwant %q", sql, show(got), err, want)
		}
	}
}

func TestColumnsOfResults(t *testing.T) {
	got, err := cmdb(t).Run(tsql.Session{}, "SELECT ip, id AS n, 1, COUNT FROM (x)", nil)
	if err == nil {
		t.Fatalf("got %v", got)
	}
	got, err = cmdb(t).Run(tsql.Session{}, "SELECT TOP 0 ip, id AS n, seen, id + score FROM assets", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := fmt.Sprint(got[0].Columns); c != "[{ip nvarchar} {n int} {seen datetime} { float}]" {
		t.Errorf("columns %s", c)
	}
}

func TestErrors(t *testing.T) {
	db := cmdb(t)
	for sql, want := range map[string]string{
		"SELECT * FROM dbo.nothing":                         "208 16: Invalid object name 'dbo.nothing'.",
		"SELECT nothing FROM assets":                        "207 16: Invalid column name 'nothing'.",
		"SELECT id FROM assets WHERE nothing = 1":           "207 16: Invalid column name 'nothing'.",
		"SELECT b.id FROM assets a":                         "4104 16: The multi-part identifier \"b.id\" could not be bound.",
		"SELECT id FROM assets WHERE":                       "102 15: Incorrect syntax near ''.",
		"SELECT id FROM assets WHERE id = = 1":              "102 15: Incorrect syntax near '='.",
		"SELECT FROM assets":                                "156 15: Incorrect syntax near the keyword 'FROM'.",
		"SELECT id AS FROM assets":                          "156 15: Incorrect syntax near the keyword 'AS'.",
		"SELECT id FROM assets a JOIN b ON 1=1":             "156 15: Incorrect syntax near the keyword 'JOIN'.",
		"SELECT id FROM assets WHERE ip":                    "4145 15: An expression of non-boolean type specified in a context where a condition is expected, near 'ip'.",
		"SELECT id FROM assets WHERE ip = 'x":               "105 15: Unclosed quotation mark after the character string 'x'.",
		"SELECT id FROM assets /* x":                        "113 15: Missing end comment mark '*/'.",
		"SELECT id FROM assets WHERE ip = @nope":            "137 15: Must declare the scalar variable \"@nope\".",
		"SELECT id FROM assets WHERE id = 'x'":              "245 16: Conversion failed when converting the nvarchar value 'x' to data type int.",
		"SELECT id FROM assets WHERE seen > 'x'":            "241 16: Conversion failed when converting date and/or time from character string.",
		"SELECT id, COUNT(*) FROM assets":                   "8120 16: Column 'FROM' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.",
		"SELECT nope(1)":                                    "195 15: 'nope' is not a recognized built-in function name.",
		"SELECT id FROM assets ORDER BY 9":                  "108 16: The ORDER BY position number 9 is out of range of the number of items in the select list.",
		"INSERT INTO dbo.assets (ip) VALUES ('x')":          "229 14: The INSERT permission was denied on the object 'assets', database 'cmdb', schema 'dbo'.",
		"UPDATE assets SET owner = 'mallory'":               "229 14: The UPDATE permission was denied on the object 'assets', database 'cmdb', schema 'dbo'.",
		"SELECT 1; DELETE FROM assets":                      "229 14: The DELETE permission was denied on the object 'assets', database 'cmdb', schema 'dbo'.",
		"SELECT id FROM assets WHERE 1=1 DROP TABLE assets": "3701 11: Cannot drop the object 'dbo.assets', because it does not exist or you do not have permission.",
		"EXEC xp_cmdshell 'dir'":                            "229 14: The EXECUTE permission was denied on the object 'xp_cmdshell', database 'cmdb', schema 'dbo'.",
		"EXEC nope":                                         "2812 16: Could not find stored procedure 'nope'.",
		"CREATE TABLE x (a int)":                            "262 14: CREATE permission denied in database 'cmdb'.",
		"USE master":                                        "911 16: Database 'master' does not exist. Make sure that the name is entered correctly.",
		"SELECT amount FROM hr.salaries":                    "229 14: The SELECT permission was denied on the object 'salaries', database 'cmdb', schema 'hr'.",
		"SELECT " + strings.Repeat("(", 200) + "1":          "191 15: Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.",
		"frobnicate x":                                      "102 15: Incorrect syntax near 'frobnicate'.",
		"SELECT ?":                                          "102 15: Incorrect syntax near '?'.",
	} {
		_, err := db.Run(tsql.Session{User: "reader", Tables: []string{"assets"}}, sql, nil)
		if err == nil {
			t.Errorf("%s: no error", sql)
			continue
		}
		if got := fmt.Sprintf("%d %d: %s", err.Number, err.Class, err.Message); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
	_, err := db.Run(tsql.Session{}, "SELECT 1;\n\nSELECT nope FROM assets", nil)
	if err == nil || err.Line != 3 {
		t.Errorf("line of the error: %+v", err)
	}
}

func TestTablesAreChecked(t *testing.T) {
	for _, table := range []tsql.Table{
		{Columns: []tsql.Column{{Name: "a", Type: tsql.Int}}, Rows: [][]any{{1, 2}}},
		{Columns: []tsql.Column{{Name: "a", Type: tsql.Int}}, Rows: [][]any{{"x"}}},
		{Columns: []tsql.Column{{Name: "a", Type: "money"}}, Rows: [][]any{{1}}},
	} {
		if _, err := tsql.NewDatabase("x", map[string]tsql.Table{"t": table}); err == nil || !strings.Contains(err.Error(), "table t, row 0") {
			t.Errorf("%+v: %v", table, err)
		}
	}
}

func FuzzRun(f *testing.F) {
	db := cmdb(f)
	for _, s := range []string{
		"SELECT TOP 2 ip, owner AS o FROM dbo.assets a WITH (NOLOCK) WHERE a.ip = @ip AND hostname LIKE '%[a-c]_x' ESCAPE '!' ORDER BY id DESC, 2",
		"SET NOCOUNT ON SELECT COUNT(*) FROM assets WHERE NOT (id IN (1,2) OR critical IS NOT NULL) AND id BETWEEN 1 AND 2.5",
		"INSERT INTO [a]].b] VALUES ('x''y'); EXEC \"p\" /* c */ -- d", "SELECT LOWER(N'a' + 'b'), -1, @@version, db_name()",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		results, err := db.Run(tsql.Session{User: "u"}, sql, map[string]any{"@ip": "10.20.30.40"})
		if err != nil && (err.Number == 0 || err.Message == "" || err.Line < 1) {
			t.Errorf("error %+v", err)
		}
		for _, r := range results {
			for _, row := range r.Rows {
				if len(row) != len(r.Columns) {
					t.Errorf("%d values for %d columns", len(row), len(r.Columns))
				}
			}
		}
	})
}
