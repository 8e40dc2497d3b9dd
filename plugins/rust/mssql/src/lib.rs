//! The plugin that runs named queries of the connector's settings on a Microsoft SQL Server, in Rust.

use riposte_pdk::{action, Call, Fault, Kind, Result, Value};
use serde::{Deserialize, Serialize};
use serde_json::Map;

#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    statement: String,
    #[serde(default)]
    params: Map<String, Value>,
}

#[derive(Serialize)]
struct Answer {
    rows: Vec<Map<String, Value>>,
    columns: Vec<String>,
    count: usize,
    truncated: bool,
}

action!("query", query);

fn query(call: &Call, p: Params) -> Result<Answer> {
    if p.statement.is_empty() {
        return Err(Fault::new(Kind::Invalid, "the statement is missing").hint("name one of the connector's statements"));
    }
    let got = call.query("database", &p.statement, &p.params)?;
    Ok(Answer { count: got.rows.len(), rows: got.rows, columns: got.columns, truncated: got.truncated })
}

#[cfg(test)]
mod tests {
    use super::*;
    use riposte_pdk::{json, try_call};

    #[test]
    fn a_statement_without_rows() {
        let got = try_call(query, json!({}), json!({"statement": "all"}), |function, request| {
            assert_eq!((function, &request["statement"]), ("sql.query", &json!("all")));
            json!({"columns": null, "rows": null}).into()
        });
        assert_eq!(got, Ok(json!({"rows": [], "columns": [], "count": 0, "truncated": false})));
    }
}
