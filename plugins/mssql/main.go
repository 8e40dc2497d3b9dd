// Command mssql is a plugin that runs named queries of the connector's settings on a Microsoft SQL Server.
package main

import (
	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

type params struct {
	Statement string         `json:"statement"`
	Params    map[string]any `json:"params"`
}

type result struct {
	Rows      []map[string]any `json:"rows"`
	Columns   []string         `json:"columns"`
	Count     int              `json:"count"`
	Truncated bool             `json:"truncated"`
}

//go:wasmexport query
func queryExport() int32 { return pdk.Run(query) }

func main() {}

func query(c *pdk.Call, p params) (result, error) {
	if p.Statement == "" {
		return result{}, pdk.Fail(abi.Invalid, "the statement is missing", "name one of the connector's statements")
	}
	answer, err := c.SQL("database").Query(p.Statement, p.Params)
	if err != nil {
		return result{}, err
	}
	r := result{Rows: answer.Rows, Columns: answer.Columns, Count: len(answer.Rows), Truncated: answer.Truncated}
	if r.Rows == nil {
		r.Rows = []map[string]any{}
	}
	if r.Columns == nil {
		r.Columns = []string{}
	}
	return r, nil
}
