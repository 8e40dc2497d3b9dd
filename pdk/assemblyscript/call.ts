import { Fault, Kind } from "./fault";
import { HTTP } from "./http";
import { Mail, Received, payload, setPayload } from "./doors";
import { Reader, write } from "./json";
import { Value } from "./value";
import * as host from "./host";

/** What a call works for. It is part of the input, so it is the same in a replay. */
export class Context {
  action: string = "";
  invocation: string = "";
  incident: string = "";
  run: string = "";
  step: string = "";
  /** The time of the invocation (RFC 3339). It does not advance; call.clock() does. */
  now: string = "";
  /** How many milliseconds the invocation may take. */
  deadline: i64 = 0;
}

/** One invocation of an action: its input, and the way to the host functions. */
export class Call {
  context: Context = new Context();
  /** Of the connector, without its secrets: the host adds those to requests by itself. */
  settings: Value = Value.object();
  private fault: Fault | null = null;

  /** Whether there was a fault. */
  get failed(): bool {
    return this.fault != null;
  }

  /** Ends the action with a fault, if there was none before. It gives a value, so that an action can return it. */
  fail(kind: string, message: string, hint: string = ""): Value {
    return this.failWith(new Fault(kind, message, hint));
  }

  failWith(fault: Fault): Value {
    if (!this.fault) this.fault = fault;
    return new Value();
  }

  /** Takes the fault, so that the call goes on; null if there is none. */
  caught(): Fault | null {
    const fault = this.fault;
    this.fault = null;
    return fault;
  }

  /** The time since 1970 in nanoseconds. It starts at the time of the invocation, and is the same in a replay. */
  clock(): u64 {
    return host.clock();
  }

  /** Fills bytes with randomness; in a replay it is the same. */
  random(to: Uint8Array): void {
    host.random(to);
  }

  /** The door of the http capability with this id. */
  http(capability: string): HTTP {
    return new HTTP(this, capability);
  }

  /** Asks under the dns capability with this id: {rcode, records: [{name, type, ttl, value}]}. For PTR an address is taken too. */
  resolve(capability: string, name: string, type: string): Value {
    return this.ask("dns.resolve", Value.object().setText("capability", capability).setText("name", name).setText("type", type), host.dnsResolve);
  }

  /** Connects under the tcp capability with this id to host:port, sends, and reads until the other side closes. */
  exchange(capability: string, address: string, send: Uint8Array): Received {
    const request = Value.object().setText("capability", capability).setText("address", address);
    setPayload(request, "send", send);
    const answer = this.ask("tcp.exchange", request, host.tcpExchange);
    return new Received(payload(answer, "received"), answer.boolOr("truncated", false));
  }

  /** Runs under the sql capability with this id a statement by name, with an object of parameters: {columns, rows, affected, truncated}. */
  query(capability: string, statement: string, params: Value): Value {
    return this.ask("sql.query", Value.object().setText("capability", capability).setText("statement", statement).set("params", params), host.sqlQuery);
  }

  /** Sends a message under the mail capability with this id, and gives its Message-ID. */
  sendMail(capability: string, mail: Mail): string {
    return this.ask("mail.send", mail.request(capability), host.mailSend).textOr("message_id", "");
  }

  /** Reads what is kept under a key in the connector's own store; null if nothing is. The plugin must require the kind kv. */
  kvGet(key: string): Value | null {
    const answer = this.ask("kv.get", Value.object().setText("key", key), host.kvGet);
    return answer.boolOr("found", false) ? answer.member("value") : null;
  }

  /** Keeps a value under a key for so many seconds, or with 0 for good. */
  kvPut(key: string, value: Value, ttl: i64 = 0): void {
    this.ask("kv.put", Value.object().setText("key", key).set("value", value).setInteger("ttl_s", ttl), host.kvPut);
  }

  /** Forgets a key, whether it is there or not. */
  kvDelete(key: string): void {
    this.ask("kv.delete", Value.object().setText("key", key), host.kvDelete);
  }

  /** Gives the incident a value to act on: kind is ip, domain, url, hash, user, host …; verdict benign, suspicious, malicious, unknown or empty. */
  artifact(kind: string, value: string, verdict: string = "", note: string = ""): void {
    this.ask("emit.artifact", emission(kind, value, verdict, note), host.emitArtifact);
  }

  /** Gives the incident a file. */
  evidence(name: string, mediaType: string, data: Uint8Array): void {
    this.ask("emit.evidence", emission(mediaType, "", "", "").setText("name", name).setBytes("data", data), host.emitEvidence);
  }

  /** Gives the incident one sentence. */
  finding(sentence: string, verdict: string = "", note: string = ""): void {
    this.ask("emit.finding", emission("", sentence, verdict, note), host.emitFinding);
  }

  /** Writes a line for people; level is debug, info, warn or error. A line that a quota refuses is lost, which is no concern of the plugin. */
  log(level: string, message: string, fields: Value | null = null): void {
    const before = this.caught();
    const request = Value.object().setText("level", level).setText("message", message);
    if (fields) request.set("fields", fields);
    this.ask("log.write", request, host.logWrite);
    this.fault = before;
  }

  info(message: string): void {
    this.log("info", message);
  }

  warn(message: string): void {
    this.log("warn", message);
  }

  /** Calls a host function. After a fault it gives an empty object. */
  ask(name: string, request: Value, through: (request: u64) => u64): Value {
    const nothing = Value.object().asRoot(name);
    if (this.failed) return nothing;
    const handle = host.give(write(request));
    const answer = through(handle);
    host.free(handle);
    const reader = new Reader(host.take(answer));
    const reply = reader.read();
    if (reader.error.length) {
      this.fail(Kind.internal, name + ": the reply of the host cannot be read: " + reader.error);
      return nothing;
    }
    const fault = reply.member("fault");
    if (fault) {
      this.failWith(faultOf(fault));
      return nothing;
    }
    const value = reply.member("value");
    return value ? value.asRoot(name) : nothing;
  }
}

function faultOf(v: Value): Fault {
  const fault = new Fault(v.textOr("kind", Kind.failed), v.textOr("message", ""), v.textOr("hint", ""));
  fault.where = v.textOr("where", "");
  fault.retryable = v.boolOr("retryable", false);
  fault.retryAfter = v.integerOr("retry_after_ms", 0);
  return fault;
}

/** Leaves out what is empty. */
function emission(kind: string, value: string, verdict: string, note: string): Value {
  const v = Value.object();
  if (kind.length) v.setText("kind", kind);
  if (value.length) v.setText("value", value);
  if (verdict.length) v.setText("verdict", verdict);
  if (note.length) v.setText("note", note);
  return v;
}

/** The one call of this instance: each invocation has a fresh one. */
export let current: Call = new Call();

/** Reads the input, calls the action, and gives its result or its fault to the host. The exported function returns what run returns. */
export function run(action: (call: Call, parameters: Value) => Value): i32 {
  if (host.warming) return 0;
  current = new Call();
  const parameters = readInput(current, host.input());
  const output = current.failed ? new Value() : action(current, parameters);
  const fault = current.caught();
  const result = Value.object();
  if (fault) result.set("fault", faultValue(fault));
  else result.set("output", output);
  return host.output(write(result));
}

function readInput(call: Call, input: Uint8Array): Value {
  const reader = new Reader(input);
  const all = reader.read();
  if (reader.error.length) return call.fail(Kind.invalid, "the input of the action is not a call: " + reader.error, "start the plugin with riposte");
  const from = all.object("context");
  const c = call.context;
  c.action = all.text("action");
  c.invocation = from.textOr("invocation", "");
  c.incident = from.textOr("incident", "");
  c.run = from.textOr("run", "");
  c.step = from.textOr("step", "");
  c.now = from.textOr("now", "");
  c.deadline = from.integerOr("deadline_ms", 0);
  if (all.has("settings")) call.settings = all.object("settings");
  call.settings.asRoot("$.settings");
  return (all.has("parameters") ? all.object("parameters") : Value.object()).asRoot("$.parameters");
}

function faultValue(f: Fault): Value {
  return Value.object().setText("kind", f.kind).setText("message", f.message).setText("hint", f.hint).setText("where", f.where)
    .setBool("retryable", f.retryable).setInteger("retry_after_ms", f.retryAfter);
}
