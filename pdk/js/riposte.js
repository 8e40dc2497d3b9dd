// The kit for Riposte plugins in JavaScript.
//
//   import { action } from "./riposte.js";
//
//   action("lookup", (call, { ip }) => {
//     const answer = call.http("api").get(`${call.settings.base_url}/${ip}`);
//     return { score: answer.json().score };
//   });
//
// An action is a function of the call and its parameters. What it returns, or what the promise that it returns comes to, is the result; a Fault
// that it throws is that of the action, and anything else a defect of the plugin, which is reported with file and line. Host functions are methods
// of the call; they do not need await, and throw a Fault where the host refuses or fails. In Node there is no host: see attempt.

const engine = globalThis.__riposte; // undefined in Node
const RETRYABLE = ["timeout", "rate_limited", "unavailable"];

export class Fault extends Error {
  constructor(kind, message, hint = "", { where = "", retryable = RETRYABLE.includes(kind), retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { kind, hint, where, retryable, retryAfter });
  }

  get name() { return "Fault"; }

  toString() {
    return `${this.where && `${this.where}: `}${this.kind}: ${this.message}${this.hint && ` (${this.hint})`}`;
  }

  toJSON() {
    const { kind, message, hint, where, retryable, retryAfter } = this;
    return { kind, message, hint: hint || undefined, where: where || undefined, retryable: retryable || undefined, retry_after_ms: retryAfter || undefined };
  }

  static of({ kind, message = "", hint, where, retryable = false, retry_after_ms }) {
    return new Fault(kind, message, hint, { where, retryable, retryAfter: retry_after_ms });
  }
}

const encode64 = engine?.encode64 ?? ((bytes) => Buffer.from(bytes).toString("base64"));
const decode64 = engine?.decode64 ?? ((text) => new Uint8Array(Buffer.from(text, "base64")));

const toBytes = (data) => (typeof data === "string" ? new TextEncoder().encode(data) : data);

const payload = (data) => {
  if (typeof data === "string") return { text: data };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data) };
  } catch {
    return { base64: encode64(data) };
  }
};

const bytesOf = ({ text = "", base64 } = {}) => (base64 ? decode64(base64) : toBytes(text));

const write = (value, what) => {
  try {
    return JSON.stringify(value, (_, v) => {
      if (typeof v === "number" && !Number.isFinite(v)) throw new TypeError(`${v} is no JSON`);
      return v;
    }) ?? "null";
  } catch (error) {
    throw new Fault("failed", `${what} cannot be written as JSON: ${error.message}`);
  }
};

// clip gives the beginning of a text, of so many bytes in UTF-8 and no part of a character.
const clip = (text, most) => {
  const bytes = toBytes(text);
  let end = Math.min(most, bytes.length);
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end--;
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, end));
};

const kindOf = (value) => {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
};

// fit holds a value against a shape, and gives as much of it as the shape names.
const fit = (shape, value, where) => {
  const expect = (wanted) => {
    const found = kindOf(value);
    if (found !== wanted && !(found === "integer" && wanted === "number")) throw new Fault("invalid", `found ${found}, expected ${wanted}`, "", { where });
  };
  if (typeof shape === "string") {
    if (shape.endsWith("?") && kindOf(value) === "nothing") return undefined;
    if (shape !== "any") expect(shape.replace("?", ""));
    return value;
  }
  if (Array.isArray(shape)) {
    expect("array");
    return value.map((v, i) => fit(shape[0], v, `${where}[${i}]`));
  }
  expect("object");
  return Object.fromEntries(Object.entries(shape).map(([name, inner]) => [name, fit(inner, value[name], `${where}.${name}`)]));
};

export class Response {
  #body;
  #now;

  constructor({ status = 0, headers = {}, body = {} }, now) {
    Object.assign(this, { status, headers });
    this.#body = body;
    this.#now = now;
  }

  get bytes() { return bytesOf(this.#body); }

  get text() { return this.#body.base64 ? new TextDecoder().decode(this.bytes) : this.#body.text ?? ""; }

  header(name) { return this.headers[name.toLowerCase()] ?? ""; }

  json(shape = "any") {
    this.expect();
    try {
      return fit(shape, JSON.parse(this.text), "$");
    } catch (error) {
      throw new Fault("unavailable", `the other side answered something else than the expected JSON: ${error.where ? `${error.where}: ` : ""}${error.message}`,
        "check the address in the connector's settings");
    }
  }

  expect(...statuses) {
    const { status } = this;
    if (statuses.includes(status) || (statuses.length === 0 && status >= 200 && status < 300)) return this;
    const known = { 401: "unauthorized", 403: "unauthorized", 404: "not_found", 408: "timeout", 409: "conflict", 413: "too_large", 429: "rate_limited" };
    const kind = known[status] ?? (status >= 500 ? "unavailable" : "failed");
    const hint = kind === "unauthorized" ? "check the credentials in the connector's settings, and what they are allowed to do" : "";
    throw new Fault(kind, `the other side answered ${status}${this.#excerpt()}`, hint, { retryAfter: this.#retryAfter() });
  }

  #excerpt() {
    const text = clip(this.text, 800).replace(/\s+/g, " ").trim();
    const short = clip(text, 200);
    return text && `: ${short}${short === text ? "" : " …"}`;
  }

  #retryAfter() {
    const value = this.header("retry-after");
    if (/^\d+$/.test(value)) return Number(value) * 1000;
    const until = Date.parse(value);
    const date = Date.parse(this.header("date"));
    return Math.max((until - (Number.isNaN(date) ? this.#now.getTime() : date)) || 0, 0);
  }
}

/** Holds one capability of a call. */
class Door {
  constructor(ask, capability, now) { Object.assign(this, { ask, capability, now }); }
}

class HTTP extends Door {
  request(method, url, { headers, body, json, timeout } = {}) {
    if (json !== undefined) {
      body = write(json, "the body");
      headers = { "content-type": "application/json", accept: "application/json", ...headers };
    }
    return new Response(this.ask("http.fetch", { capability: this.capability, method, url, headers, body: body === undefined ? undefined : payload(body), timeout_ms: timeout }), this.now);
  }

  get(url, options) { return this.request("GET", url, options); }
  post(url, options) { return this.request("POST", url, options); }
  put(url, options) { return this.request("PUT", url, options); }
  delete(url, options) { return this.request("DELETE", url, options); }
}

class DNS extends Door {
  resolve(name, type) {
    const { rcode, records } = this.ask("dns.resolve", { capability: this.capability, name, type });
    return { rcode, records: records ?? [] };
  }
}

class TCP extends Door {
  exchange(address, send, { maxBytes, timeout } = {}) {
    const { received, truncated = false } = this.ask("tcp.exchange", { capability: this.capability, address, send: payload(send), max_bytes: maxBytes, timeout_ms: timeout });
    return { bytes: bytesOf(received), truncated };
  }
}

class SQL extends Door {
  query(statement, params) { return this.ask("sql.query", { capability: this.capability, statement, params }); }
}

class Mail extends Door {
  send({ to, cc, subject, text, html }) { return this.ask("mail.send", { capability: this.capability, to, cc, subject, text, html }).message_id; }
}

class KV extends Door {
  get(key, otherwise) {
    const { found, value } = this.ask("kv.get", { key });
    return found ? value : otherwise;
  }

  put(key, value, { ttl } = {}) { this.ask("kv.put", { key, value, ttl_s: ttl }); }
  delete(key) { this.ask("kv.delete", { key }); }
}

export class Call {
  #ask;

  constructor({ action, settings = {}, context = {} }, exchange) {
    const { invocation = "", incident = "", run = "", step = "", now = "2026-01-02T03:04:05Z", deadline_ms: deadline = 0 } = context;
    Object.assign(this, { action, settings, invocation, incident, run, step, deadline, now: new Date(now) });
    this.#ask = (fn, request) => {
      const { value, fault } = JSON.parse(exchange(fn, write(request, `${fn}: the request`)));
      if (fault) throw Fault.of(fault);
      return value ?? {};
    };
  }

  http(capability) { return new HTTP(this.#ask, capability, this.now); }
  dns(capability) { return new DNS(this.#ask, capability); }
  tcp(capability) { return new TCP(this.#ask, capability); }
  sql(capability) { return new SQL(this.#ask, capability); }
  mail(capability) { return new Mail(this.#ask, capability); }
  get kv() { return new KV(this.#ask); }

  log(level, message, fields) {
    try {
      this.#ask("log.write", { level, message, fields });
    } catch (error) {
      if (!(error instanceof Fault)) throw error; // a line that a quota refuses is lost
    }
  }

  info(message, fields) { this.log("info", message, fields); }
  warn(message, fields) { this.log("warn", message, fields); }

  artifact(kind, value, verdict, note) { this.#ask("emit.artifact", { kind, value, verdict, note }); }
  evidence(name, mediaType, data) { this.#ask("emit.evidence", { name, kind: mediaType, data: encode64(toBytes(data)) }); }
  finding(sentence, verdict, note) { this.#ask("emit.finding", { value: sentence, verdict, note }); }
}

const actions = new Map();

export function action(name, ...rest) {
  const [handler, shape = "any"] = rest.reverse();
  actions.set(name, { handler, shape });
  return handler;
}

let current; // the call whose log console writes to

const perform = (document, exchange) => {
  const known = actions.get(document.action);
  if (!known) throw new Fault("not_found", `the plugin has no action ${JSON.stringify(document.action)}`, `name it: action("${document.action}", …)`);
  current = new Call(document, exchange);
  return known.handler(current, fit(known.shape, document.parameters ?? {}, "$.parameters"));
};

export function asset(name) {
  if (!engine) {
    const bytes = process.getBuiltinModule("node:fs").readFileSync(name);
    const { text } = payload(bytes);
    return text ?? bytes;
  }
  if (!Object.hasOwn(engine.files, name)) throw new Fault("not_found", `there is no file ${name} in the package`);
  return engine.files[name];
}

export async function attempt(handler, parameters = {}, settings = {}, stub = undefined) {
  const exchange = (fn, request) => {
    try {
      if (!stub) throw new Fault("refused", `${fn} is not stubbed`, "give attempt a stub");
      return write({ value: stub(fn, JSON.parse(request)) }, "the value of the stub");
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return write({ fault: error }, "the fault");
    }
  };
  const name = [...actions.keys()].find((known) => actions.get(known).handler === handler);
  const document = { action: name, parameters, settings, context: { invocation: "attempt", deadline_ms: 30_000 } };
  return JSON.parse(write(await perform(JSON.parse(write(document, "the call")), exchange), "the result"));
}

if (engine) {
  engine.actions = actions;
  engine.act = (document, wait, crash) => {
    try {
      return `{"output":${write(wait(perform(document, engine.call)), "the result")}}`;
    } catch (error) {
      return write(error instanceof Fault ? { fault: error } : crash(error), "the fault");
    }
  };
  const log = (level) => (...values) => current?.log(level, values.map((v) => (typeof v === "string" ? v : write(v, "what is logged"))).join(" "));
  globalThis.console = { debug: log("debug"), log: log("info"), info: log("info"), warn: log("warn"), error: log("error") };
}
