//! Where in a JSON document something is wrong.

/// Gives the message of an error without its line and column, and the place as a path such as `.list[2].name`.
pub fn of(err: &serde_json::Error, json: &str) -> (String, String) {
    let text = err.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    let line_start: usize = json.split_inclusive('\n').take(err.line().saturating_sub(1)).map(str::len).sum();
    (message, path(&json.as_bytes()[..json.len().min(line_start + err.column())]))
}

/// Gives the path of the value that the end of a document, cut off where it went wrong, lies in or behind.
fn path(cut: &[u8]) -> String {
    let mut steps: Vec<Step> = Vec::new();
    let mut at = 0;
    while at < cut.len() {
        match cut[at] {
            b'{' => steps.push(Step::Member(None)),
            b'[' => steps.push(Step::Element(0)),
            // The bracket that ends the document may end the value that was wrong.
            b'}' | b']' if at + 1 < cut.len() => {
                steps.pop();
            }
            b',' if at + 1 < cut.len() => match steps.last_mut() {
                Some(Step::Element(n)) => *n += 1,
                Some(Step::Member(name)) => *name = None,
                None => {}
            },
            b'"' => {
                let end = string_end(cut, at);
                if let Some(Step::Member(name @ None)) = steps.last_mut() {
                    *name = serde_json::from_slice(&cut[at..end]).ok();
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    steps.iter().map(Step::text).collect()
}

enum Step {
    Member(Option<String>),
    Element(usize),
}

impl Step {
    fn text(&self) -> String {
        match self {
            Step::Member(Some(name)) => format!(".{name}"),
            Step::Member(None) => String::new(),
            Step::Element(n) => format!("[{n}]"),
        }
    }
}

/// Gives the index behind the string that starts at an index.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(json.len())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use std::collections::HashMap;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Document {
        #[serde(default)]
        ip: String,
        #[serde(default)]
        port: u16,
        #[serde(default)]
        list: Vec<HashMap<String, u8>>,
    }

    #[test]
    fn faults_name_their_place() {
        for (json, place) in [
            (r#"{"ip":7}"#, ".ip"),
            (r#"{"ip":7,"port":1}"#, ".ip"),
            (r#"{"ip":"x","port":"y"}"#, ".port"),
            (r#"{"ip":"x","port":0.5}"#, ".port"),
            (r#"{"ip":"x\"y","port":70000}"#, ".port"),
            ("{\n \"ip\": \"a\",\n \"port\": []}", ".port"),
            (r#"{"list":[{"a":1},{"b":2,"c":"d"}]}"#, ".list[1].c"),
            (r#"{"list":[{"a":1},{"b":[2]}],"port":2}"#, ".list[1].b"),
            (r#"{"list":[{"a":1},3]}"#, ".list[1]"),
            (r#"[]"#, ""),
            (r#"7"#, ""),
            ("", ""),
        ] {
            let err = serde_json::from_str::<Document>(json).map(|_| ()).map_err(|err| super::of(&err, json).1);
            let wanted = if json == "[]" { Ok(()) } else { Err(place.to_owned()) };
            assert_eq!(err, wanted, "{json}");
        }
    }
}
