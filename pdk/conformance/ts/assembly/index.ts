// The conformance plugin in AssemblyScript.

import { Call, Fault, Kind, Mail, Request, Value, run } from "../../../assemblyscript";
import { Reader } from "../../../assemblyscript/json";
import { bytesOf } from "../../../assemblyscript/bytes";

export function echo(): i32 {
  return run((call: Call, p: Value): Value => {
    const list = Value.array(), from = p.list("list");
    for (let i = 0; i < from.length; i++) list.add(from[i]);
    return Value.object().setText("text", p.text("text")).setInteger("number", p.integer("number")).setNumber("ratio", p.number("ratio"))
      .setBool("flag", p.bool("flag")).set("list", list).set("nested", Value.object().setText("name", p.object("nested").text("name")));
  });
}

export function typed(): i32 {
  return run((call: Call, p: Value): Value => Value.object().setText("ip", p.text("ip")).setInteger("port", p.integer("port")));
}

export function parse(): i32 {
  return run((call: Call, p: Value): Value => {
    const reader = new Reader(bytesOf(p.text("text")));
    const value = reader.read();
    return reader.error.length ? call.fail(Kind.invalid, reader.error) : Value.object().set("value", value);
  });
}

export function settings(): i32 {
  return run((call: Call, p: Value): Value => call.settings);
}

export function context(): i32 {
  return run((call: Call, p: Value): Value => {
    const c = call.context;
    return Value.object().setText("action", c.action).setText("invocation", c.invocation).setText("incident", c.incident).setText("run", c.run)
      .setText("step", c.step).setText("now", c.now).setInteger("deadline_ms", c.deadline);
  });
}

export function dice(): i32 {
  return run((call: Call, p: Value): Value => {
    const bytes = new Uint8Array(16);
    call.random(bytes);
    let text = "";
    for (let i = 0; i < 16; i++) text += bytes[i].toString(16).padStart(2, "0");
    return Value.of(text);
  });
}

export function clock(): i32 {
  return run((call: Call, p: Value): Value => {
    const now: u64 = 1_767_323_045_000_000_000; // of the trials
    const first = call.clock(), second = call.clock();
    return Value.object().setBool("since_now", first >= now && first < now + 1_000_000_000).setBool("goes_on", second > first);
  });
}

let calls = 0;

export function count(): i32 {
  return run((call: Call, p: Value): Value => Value.number(++calls));
}

function sum(bytes: Uint8Array): Value {
  let s: u32 = 0;
  for (let i = 0; i < bytes.length; i += 61) s = s * 31 + bytes[i];
  return Value.number(s);
}

function base(call: Call): string {
  return call.settings.text("url");
}

function bodyOf(p: Value): Uint8Array {
  return p.has("base64") ? p.base64("base64") : bytesOf(p.textOr("text", ""));
}

export function fetch(): i32 {
  return run((call: Call, p: Value): Value => {
    const request = new Request(base(call) + p.text("path"));
    request.method = p.text("method");
    if (p.has("headers")) request.headers = p.object("headers");
    request.body = bodyOf(p);
    request.timeout = p.integerOr("timeout_ms", 0);
    const got = call.http(p.textOr("capability", "api")).send(request);
    return Value.object().setInteger("status", got.status).setText("type", got.header("Content-Type")).setInteger("length", got.body.length).set("sum", sum(got.body));
  });
}

export function get_json(): i32 {
  return run((call: Call, p: Value): Value => {
    const found = call.http("api").get(base(call) + p.text("path")).json();
    return Value.object().setText("name", found.text("name")).setInteger("age", found.integer("age"));
  });
}

export function post_json(): i32 {
  return run((call: Call, p: Value): Value => {
    const posted = Value.object().set("list", p.member("list")!).setText("text", p.text("text"));
    return call.http("api").postJSON(base(call) + "/mirror", posted).json();
  });
}

export function post_form(): i32 {
  return run((call: Call, p: Value): Value => call.http("api").postForm(base(call) + "/mirror", p.text("fields")).json());
}

export function resolve(): i32 {
  return run((call: Call, p: Value): Value => call.resolve("names", p.text("name"), p.text("type")));
}

export function exchange(): i32 {
  return run((call: Call, p: Value): Value => {
    const got = call.exchange("line", p.textOr("address", call.settings.text("line")), bodyOf(p));
    return Value.object().setInteger("length", got.bytes.length).set("sum", sum(got.bytes)).setBool("truncated", got.truncated);
  });
}

export function query(): i32 {
  return run((call: Call, p: Value): Value => {
    const got = call.query("inventory", p.text("statement"), p.has("params") ? p.object("params") : Value.object());
    if (call.failed) return got;
    return Value.object().set("columns", got.member("columns")!).set("rows", got.member("rows")!).setBool("truncated", got.boolOr("truncated", false));
  });
}

function texts(p: Value, name: string): string[] {
  const out: string[] = [];
  if (p.has(name)) for (let i = 0, list = p.list(name); i < list.length; i++) out.push(list[i].s);
  return out;
}

export function send(): i32 {
  return run((call: Call, p: Value): Value => {
    const mail = new Mail();
    mail.to = texts(p, "to");
    mail.cc = texts(p, "cc");
    mail.subject = p.textOr("subject", "");
    mail.text = p.textOr("text", "");
    mail.html = p.textOr("html", "");
    return Value.of(call.sendMail("relay", mail));
  });
}

export function keep(): i32 {
  return run((call: Call, p: Value): Value => {
    const key = p.text("key"), from = p.object("value");
    const note = Value.object().setInteger("count", from.integer("count")).setText("name", from.text("name")).set("tags", from.member("tags")!);
    const before = call.kvGet(key) != null;
    call.kvPut(key, note, p.integer("ttl_s"));
    const value = call.kvGet(key);
    call.kvDelete(key);
    const after = call.kvGet(key) != null;
    return Value.object().setBool("before", before).set("value", value ? value : new Value()).setBool("after", after);
  });
}

export function put(): i32 {
  return run((call: Call, p: Value): Value => {
    call.kvPut(p.text("key"), Value.of("x".repeat(<i32>p.integer("bytes"))));
    return Value.boolean(true);
  });
}

export function knock(): i32 {
  return run((call: Call, p: Value): Value => {
    const times = p.integer("times");
    for (let i: i64 = 0; i < times && !call.failed; i++) call.kvGet("door");
    return Value.number(<f64>times);
  });
}

export function write(): i32 {
  return run((call: Call, p: Value): Value => {
    const message = p.text("message");
    call.log("debug", message);
    call.info(message);
    call.warn(message);
    call.log("error", message, Value.object().setText("text", message).setInteger("count", 3));
    return Value.number(4);
  });
}

export function emit(): i32 {
  return run((call: Call, p: Value): Value => {
    call.artifact("ip", p.text("ip"), p.text("verdict"), p.text("note"));
    call.evidence("dump.bin", "application/octet-stream", p.base64("base64"));
    call.finding(p.text("sentence"), p.text("verdict"), p.text("note"));
    return Value.boolean(true);
  });
}

export function fail(): i32 {
  return run((call: Call, p: Value): Value => {
    const fault = new Fault(p.text("kind"), p.text("message"), p.textOr("hint", ""));
    fault.where = p.textOr("where", "");
    fault.retryable = p.boolOr("retryable", false);
    fault.retryAfter = p.integerOr("retry_after_ms", 0);
    return call.failWith(fault);
  });
}

export function catch_(): i32 {
  return run((call: Call, p: Value): Value => {
    call.http("api").get(base(call) + p.text("path"));
    const f = call.caught();
    if (!f) return call.fail(Kind.failed, "there was no fault");
    return Value.object().setText("kind", f.kind).setText("message", f.message).setText("hint", f.hint).setText("where", f.where)
      .setBool("retryable", f.retryable).setInteger("retry_after_ms", f.retryAfter);
  });
}

export function crash(): i32 {
  return run((call: Call, p: Value): Value => {
    const list = [1];
    return Value.number(list[<i32>p.integerOr("index", 7)]);
  });
}

function deeper(n: i64): i64 {
  return n < 0 ? n : n + deeper(n + 1);
}

export function recurse(): i32 {
  return run((call: Call, p: Value): Value => Value.number(<f64>deeper(1)));
}

function digDeeper(above: i64[]): i64 {
  const here = [above[0] + 1];
  return here[0] < 0 ? 0 : here[0] + digDeeper(here) + here[0];
}

export function dig(): i32 {
  return run((call: Call, p: Value): Value => Value.number(<f64>digDeeper([1])));
}

export function devour(): i32 {
  return run((call: Call, p: Value): Value => {
    const all: Uint8Array[] = [];
    while (true) all.push(new Uint8Array(1 << 20));
  });
}

let turns: i64 = 1;

export function spin(): i32 {
  return run((call: Call, p: Value): Value => {
    while (turns != 0) turns++;
    return Value.number(<f64>turns);
  });
}

export function flood(): i32 {
  return run((call: Call, p: Value): Value => Value.of("x".repeat(<i32>p.integer("bytes"))));
}

export function lie(): i32 {
  return run((call: Call, p: Value): Value => Value.object().setText("score", "high"));
}

export function check(): i32 {
  return run((call: Call, p: Value): Value => {
    call.http("api").get(base(call) + "/person").expect();
    return Value.boolean(true);
  });
}

export function describe(): i32 {
  return run((call: Call, p: Value): Value => Value.object().setText("plugin", "conformance"));
}
