//! The conformance plugin in Rust.

use riposte_pdk::{action, json, Call, DnsAnswer, Fault, Kind, Level, Mail, Request, Result, Value, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Settings {
    url: String,
    line: String,
}

#[derive(Serialize, Deserialize)]
struct Everything {
    text: String,
    number: i64,
    ratio: f64,
    flag: bool,
    list: Vec<String>,
    nested: Nested,
}

#[derive(Serialize, Deserialize)]
struct Nested {
    name: String,
}

action!("echo", echo);
fn echo(_: &Call, p: Everything) -> Result<Everything> {
    Ok(p)
}

#[derive(Serialize, Deserialize)]
struct Endpoint {
    ip: String,
    port: u16,
}

action!("typed", typed);
fn typed(_: &Call, p: Endpoint) -> Result<Endpoint> {
    Ok(p)
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

action!("parse", parse);
fn parse(_: &Call, p: Text) -> Result<Value> {
    let value: Value = serde_json::from_str(&p.text).map_err(|err| Fault::new(Kind::Invalid, err.to_string()))?;
    Ok(json!({"value": value}))
}

action!("settings", settings);
fn settings(call: &Call, _: Nothing) -> Result<Value> {
    call.settings()
}

action!("context", context);
fn context(call: &Call, _: Nothing) -> Result<Value> {
    let c = &call.context;
    Ok(json!({"action": call.action, "invocation": c.invocation, "incident": c.incident, "run": c.run, "step": c.step, "now": c.now, "deadline_ms": c.deadline_ms}))
}

action!("dice", dice);
fn dice(call: &Call, _: Nothing) -> Result<String> {
    let mut bytes = [0; 16];
    call.random(&mut bytes);
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

action!("clock", clock);
fn clock(call: &Call, _: Nothing) -> Result<Value> {
    const NOW: u64 = 1_767_323_045_000_000_000; // of the trials
    let (first, second) = (call.clock(), call.clock());
    Ok(json!({"since_now": (NOW..NOW + 1_000_000_000).contains(&first), "goes_on": second > first}))
}

static CALLS: AtomicU32 = AtomicU32::new(0);

action!("count", count);
fn count(_: &Call, _: Nothing) -> Result<u32> {
    Ok(CALLS.fetch_add(1, Ordering::Relaxed) + 1)
}

#[derive(Deserialize)]
#[serde(default)]
struct Asked {
    capability: String,
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    text: String,
    #[serde(with = "riposte_pdk::bytes")]
    base64: Vec<u8>,
    timeout_ms: u64,
}

impl Default for Asked {
    fn default() -> Asked {
        Asked { capability: "api".into(), method: String::new(), path: String::new(), headers: BTreeMap::new(), text: String::new(), base64: Vec::new(), timeout_ms: 0 }
    }
}

action!("fetch", fetch);
fn fetch(call: &Call, p: Asked) -> Result<Value> {
    let url = call.settings::<Settings>()?.url + &p.path;
    let headers: Vec<_> = p.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = if p.base64.is_empty() { p.text.as_bytes() } else { &p.base64 };
    let timeout = Duration::from_millis(p.timeout_ms);
    let got = call.http(&p.capability).send(Request { method: &p.method, url: &url, headers: &headers, body, timeout })?;
    Ok(json!({"status": got.status, "type": got.header("Content-Type"), "length": got.body.len(), "sum": sum(&got.body)}))
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().step_by(61).fold(0u32, |sum, &b| sum.wrapping_mul(31).wrapping_add(u32::from(b)))
}

#[derive(Deserialize)]
struct Path {
    path: String,
}

#[derive(Serialize, Deserialize)]
struct Person {
    name: String,
    age: u32,
}

action!("get-json", get_json);
fn get_json(call: &Call, p: Path) -> Result<Person> {
    let url = call.settings::<Settings>()?.url + &p.path;
    call.http("api").get(&url)?.json()
}

#[derive(Serialize, Deserialize)]
struct Posted {
    list: Vec<String>,
    text: String,
}

action!("post-json", post_json);
fn post_json(call: &Call, p: Posted) -> Result<Value> {
    let url = call.settings::<Settings>()?.url + "/mirror";
    call.http("api").post_json(&url, &p)?.json()
}

#[derive(Deserialize)]
struct Form {
    fields: String,
}

action!("post-form", post_form);
fn post_form(call: &Call, p: Form) -> Result<Value> {
    let url = call.settings::<Settings>()?.url + "/mirror";
    call.http("api").post_form(&url, &p.fields)?.json()
}

#[derive(Deserialize)]
struct Question {
    name: String,
    #[serde(rename = "type")]
    record_type: String,
}

action!("resolve", resolve);
fn resolve(call: &Call, p: Question) -> Result<DnsAnswer> {
    call.resolve("names", &p.name, &p.record_type)
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Line {
    address: String,
    text: String,
    #[serde(with = "riposte_pdk::bytes")]
    base64: Vec<u8>,
}

action!("exchange", exchange);
fn exchange(call: &Call, p: Line) -> Result<Value> {
    let address = if p.address.is_empty() { call.settings::<Settings>()?.line } else { p.address };
    let send = if p.base64.is_empty() { p.text.as_bytes() } else { &p.base64 };
    let received = call.exchange("line", &address, send)?;
    Ok(json!({"length": received.bytes.len(), "sum": sum(&received.bytes), "truncated": received.truncated}))
}

#[derive(Deserialize)]
struct Statement {
    statement: String,
    #[serde(default)]
    params: serde_json::Map<String, Value>,
}

action!("query", query);
fn query(call: &Call, p: Statement) -> Result<Value> {
    let got = call.query("inventory", &p.statement, &p.params)?;
    Ok(json!({"columns": got.columns, "rows": got.rows, "truncated": got.truncated}))
}

action!("send", send);
fn send(call: &Call, p: Mail) -> Result<String> {
    call.send_mail("relay", &p)
}

#[derive(Serialize, Deserialize)]
struct Note {
    count: i64,
    name: String,
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Kept {
    key: String,
    value: Note,
    ttl_s: u64,
}

action!("keep", keep);
fn keep(call: &Call, p: Kept) -> Result<Value> {
    let before = call.kv_get::<Note>(&p.key)?;
    call.kv_put(&p.key, &p.value, Duration::from_secs(p.ttl_s))?;
    let value = call.kv_get::<Note>(&p.key)?;
    call.kv_delete(&p.key)?;
    let after = call.kv_get::<Note>(&p.key)?;
    Ok(json!({"before": before.is_some(), "value": value, "after": after.is_some()}))
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Amount {
    key: String,
    bytes: usize,
    times: u32,
}

action!("put", put);
fn put(call: &Call, p: Amount) -> Result<bool> {
    call.kv_put(&p.key, &"x".repeat(p.bytes), Duration::ZERO)?;
    Ok(true)
}

action!("knock", knock);
fn knock(call: &Call, p: Amount) -> Result<u32> {
    for _ in 0..p.times {
        call.kv_get::<Value>("door")?;
    }
    Ok(p.times)
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

action!("write", write);
fn write(call: &Call, p: Message) -> Result<u32> {
    call.log(Level::Debug, &p.message, Value::Null);
    call.info(&p.message);
    call.warn(&p.message);
    call.log(Level::Error, &p.message, json!({"text": p.message, "count": 3}));
    Ok(4)
}

#[derive(Deserialize)]
struct Found {
    ip: String,
    verdict: Verdict,
    note: String,
    #[serde(with = "riposte_pdk::bytes")]
    base64: Vec<u8>,
    sentence: String,
}

action!("emit", emit);
fn emit(call: &Call, p: Found) -> Result<bool> {
    call.artifact("ip", &p.ip, Some(p.verdict), &p.note)?;
    call.evidence("dump.bin", "application/octet-stream", &p.base64)?;
    call.finding(&p.sentence, Some(p.verdict), &p.note)?;
    Ok(true)
}

action!("fail", fail);
fn fail(_: &Call, p: Fault) -> Result<()> {
    Err(p)
}

action!("catch", catch);
fn catch(call: &Call, p: Path) -> Result<Value> {
    let url = call.settings::<Settings>()?.url + &p.path;
    match call.http("api").get(&url) {
        Ok(_) => Err("there was no fault".into()),
        Err(f) => Ok(json!({"kind": f.kind, "message": f.message, "hint": f.hint, "where": f.place, "retryable": f.retryable, "retry_after_ms": f.retry_after_ms})),
    }
}

action!("crash", crash);
fn crash(_: &Call, _: Nothing) -> Result<u32> {
    let list = [1];
    Ok(list[black_box(7)])
}

action!("recurse", recurse);
fn recurse(_: &Call, _: Nothing) -> Result<u64> {
    Ok(deeper(1))
}

#[allow(unconditional_recursion)]
fn deeper(n: u64) -> u64 {
    black_box(n) + deeper(black_box(n + 1))
}

action!("dig", dig);
fn dig(_: &Call, _: Nothing) -> Result<u64> {
    Ok(dig_deeper(&[1; 16]))
}

#[allow(unconditional_recursion)]
fn dig_deeper(above: &[u64; 16]) -> u64 {
    let here = black_box([above[0] + 1; 16]);
    here[3] + dig_deeper(&here)
}

action!("devour", devour);
fn devour(_: &Call, _: Nothing) -> Result<usize> {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1u8; 1 << 20]));
    }
}

action!("spin", spin);
fn spin(_: &Call, _: Nothing) -> Result<u64> {
    let mut n = 1u64;
    while n != 0 {
        n = black_box(n) + 1;
    }
    Ok(n)
}

action!("flood", flood);
fn flood(_: &Call, p: Amount) -> Result<String> {
    Ok("x".repeat(p.bytes))
}

action!("lie", lie);
fn lie(_: &Call, _: Nothing) -> Result<Value> {
    Ok(json!({"score": "high"}))
}

action!("check", check);
fn check(call: &Call, _: Nothing) -> Result<bool> {
    let url = call.settings::<Settings>()?.url + "/person";
    call.http("api").get(&url)?.expect()?;
    Ok(true)
}

action!("describe", describe);
fn describe(_: &Call, _: Nothing) -> Result<Value> {
    Ok(json!({"plugin": "conformance"}))
}
