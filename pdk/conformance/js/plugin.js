// The conformance plugin in JavaScript.
import { action, Fault } from "riposte";

const hex = (bytes) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");

const data = ({ base64, text }) => (base64 ? decode64(base64) : text || undefined);

const decode64 = (text) => {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const bytes = [];
  let group = 0;
  let bits = 0;
  for (const c of text.replace(/=+$/, "")) {
    group = ((group << 6) | digits.indexOf(c)) & 0xffff;
    if ((bits += 6) >= 8) bytes.push((group >> (bits -= 8)) & 0xff);
  }
  return new Uint8Array(bytes);
};

const checksum = (bytes) => {
  let s = 0;
  for (let i = 0; i < bytes.length; i += 61) s = (Math.imul(s, 31) + bytes[i]) >>> 0;
  return s;
};

action("echo", (call, p) => p);
action("typed", { ip: "string", port: "integer" }, (call, p) => p);
action("parse", (call, { text }) => {
  try {
    return { value: JSON.parse(text) };
  } catch (err) {
    throw new Fault("invalid", err.message);
  }
});

action("settings", (call) => call.settings);

action("context", (call) => ({
  action: call.action, invocation: call.invocation, incident: call.incident, run: call.run, step: call.step,
  now: call.now.toISOString().replace(".000Z", "Z"), deadline_ms: call.deadline,
}));

action("dice", () => hex(crypto.getRandomValues(new Uint8Array(16))));

action("clock", (call) => {
  const since = Date.now() - call.now.getTime();
  const first = performance.now();
  return { since_now: since >= 0 && since < 1000, goes_on: performance.now() > first };
});

let calls = 0;
action("count", () => ++calls);

action("fetch", (call, p) => {
  const got = call.http(p.capability ?? "api").request(p.method, call.settings.url + p.path, { headers: p.headers, body: data(p), timeout: p.timeout_ms });
  return { status: got.status, type: got.header("Content-Type"), length: got.bytes.length, sum: checksum(got.bytes) };
});

action("get-json", (call, { path }) => call.http("api").get(call.settings.url + path).json({ name: "string", age: "integer" }));
action("post-json", (call, { text, list }) => call.http("api").post(`${call.settings.url}/mirror`, { json: { list, text } }).json());
action("post-form", (call, { fields }) =>
  call.http("api").post(`${call.settings.url}/mirror`, { body: fields, headers: { "content-type": "application/x-www-form-urlencoded" } }).json());

action("resolve", (call, { name, type }) => call.dns("names").resolve(name, type));

action("exchange", (call, p) => {
  const { bytes, truncated } = call.tcp("line").exchange(p.address ?? call.settings.line, data(p));
  return { length: bytes.length, sum: checksum(bytes), truncated };
});

action("query", (call, { statement, params }) => {
  const { columns, rows, truncated = false } = call.sql("inventory").query(statement, params);
  return { columns, rows, truncated };
});

action("send", (call, p) => call.mail("relay").send(p));

action("keep", (call, { key, value: { name, count, tags }, ttl_s: ttl }) => {
  const before = call.kv.get(key) !== undefined;
  call.kv.put(key, { count, name, tags }, { ttl });
  const found = call.kv.get(key);
  call.kv.delete(key);
  return { before, value: found, after: call.kv.get(key) !== undefined };
});

action("put", (call, { key, bytes }) => {
  call.kv.put(key, "x".repeat(bytes));
  return true;
});

action("knock", (call, { times }) => {
  for (let i = 0; i < times; i++) call.kv.get("door");
  return times;
});

action("write", (call, { message }) => {
  call.log("debug", message);
  call.info(message);
  call.warn(message);
  call.log("error", message, { text: message, count: 3 });
  return 4;
});

action("emit", (call, p) => {
  const faults = [];
  for (const effect of [
    () => call.artifact("ip", p.ip, p.verdict, p.note),
    () => call.evidence("dump.bin", "application/octet-stream", decode64(p.base64)),
    () => call.finding(p.sentence, p.verdict, p.note),
  ]) {
    try {
      effect();
    } catch (fault) {
      faults.push(fault);
    }
  }
  if (faults.length > 0) throw faults[0];
  return true;
});

action("fail", (call, { kind, message, hint, where, retryable = false, retry_after_ms: retryAfter }) => {
  throw new Fault(kind, message, hint, { where, retryable, retryAfter });
});

action("catch", (call, { path }) => {
  try {
    call.http("api").get(call.settings.url + path);
  } catch (f) {
    return { kind: f.kind, message: f.message, hint: f.hint, where: f.where, retryable: f.retryable, retry_after_ms: f.retryAfter };
  }
  throw new Fault("failed", "there was no fault");
});

action("crash", () => [1][7].length);

action("recurse", () => {
  const deeper = (n) => n + deeper(n + 1);
  return deeper(1);
});

action("dig", () => {
  const deeper = (above) => {
    const here = Array(16).fill(above[0] + 1);
    return here[0] + deeper(here);
  };
  return deeper([1]);
});

action("devour", () => {
  for (const all = []; ; ) all.push(new Uint8Array(1 << 20));
});

action("spin", () => {
  for (;;);
});

action("flood", (call, { bytes }) => "x".repeat(bytes));
action("lie", () => ({ score: "high" }));

action("check", (call) => {
  call.http("api").get(`${call.settings.url}/person`).expect();
  return true;
});

action("describe", () => ({ plugin: "conformance" }));
