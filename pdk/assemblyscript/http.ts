import { Call } from "./call";
import { payload, setPayload } from "./doors";
import { Fault, Kind } from "./fault";
import { Reader, write } from "./json";
import { Type, Value } from "./value";
import { bytesOf, character, textOf } from "./bytes";
import * as host from "./host";

/** A request; its method is GET if nothing else is said. */
export class Request {
  method: string = "GET";
  /** An object of texts. */
  headers: Value = Value.object();
  body: Uint8Array = new Uint8Array(0);
  /** In milliseconds; 0 is as long as the invocation may take. */
  timeout: i64 = 0;

  constructor(public url: string) {}
}

/** Sends requests under one http capability. */
export class HTTP {
  constructor(private call: Call, private capability: string) {}

  /** Sends a request. Any status is a response; if there was none, the call has a fault, and the status is 0. */
  send(r: Request): Response {
    const request = Value.object().setText("capability", this.capability).setText("method", r.method).setText("url", r.url);
    if (r.headers.names.length) request.set("headers", r.headers);
    if (r.body.length) setPayload(request, "body", r.body);
    if (r.timeout) request.setInteger("timeout_ms", r.timeout);
    const answer = this.call.ask("http.fetch", request, host.httpFetch);
    const headers = answer.member("headers");
    return new Response(this.call, <i32>answer.integerOr("status", 0), headers ? headers : Value.object(), payload(answer, "body"));
  }

  /** Fetches a URL. */
  get(url: string): Response {
    return this.send(new Request(url));
  }

  /** Sends DELETE without a body. */
  delete(url: string): Response {
    const r = new Request(url);
    r.method = "DELETE";
    return this.send(r);
  }

  /** Posts a value as JSON. */
  postJSON(url: string, value: Value): Response {
    return this.sendJSON("POST", url, value);
  }

  /** Sends a value as JSON with any method. */
  sendJSON(method: string, url: string, value: Value): Response {
    const r = new Request(url);
    r.method = method;
    r.headers.setText("content-type", "application/json").setText("accept", "application/json");
    r.body = write(value);
    return this.send(r);
  }

  /** Posts fields that are encoded already, as application/x-www-form-urlencoded. */
  postForm(url: string, fields: string): Response {
    const r = new Request(url);
    r.method = "POST";
    r.headers.setText("content-type", "application/x-www-form-urlencoded");
    r.body = bytesOf(fields);
    return this.send(r);
  }
}

/** The answer to a request. */
export class Response {
  constructor(private call: Call, public status: i32, private headers: Value, public body: Uint8Array) {}

  /** A header by its name in any case, empty if it is not there; several values are joined by ", ". */
  header(name: string): string {
    return this.headers.textOr(name.toLowerCase(), "");
  }

  get text(): string {
    return textOf(this.body);
  }

  /** Reads the JSON of an answer with a status of 2xx; after a fault it is an empty object. */
  json(): Value {
    this.expect();
    if (this.call.failed) return Value.object();
    const reader = new Reader(this.body);
    const v = reader.read();
    if (!reader.error.length) return v.asRoot("$", true);
    this.call.fail(Kind.unavailable, "the other side answered something else than the expected JSON: " + reader.error, "check the address in the connector's settings");
    return Value.object();
  }

  /**
   * Takes a status of 2xx only. Any other is the fault that it stands for: 401 and 403 unauthorized, 404 not found, 409 conflict, 413 too large, 429
   * rate limited with the wait that Retry-After asks for (RFC 9110, section 10.2.3), 5xx unavailable, others failed.
   */
  expect(): Response {
    if (this.call.failed || (this.status >= 200 && this.status < 300)) return this;
    const kind = kindOf(this.status);
    const hint = kind == Kind.unauthorized ? "check the credentials in the connector's settings, and what they are allowed to do" : "";
    const fault = new Fault(kind, "the other side answered " + this.status.toString() + excerpt(this.body), hint);
    fault.retryAfter = this.retryAfter();
    this.call.failWith(fault);
    return this;
  }

  /** Reads Retry-After in milliseconds; a date counts from the server's own Date, or else from the time of the call. */
  private retryAfter(): i64 {
    const value = this.header("retry-after");
    const seconds = number(value.startsWith("-") ? value.substring(1) : value);
    if (seconds >= 0) return value.startsWith("-") ? 0 : seconds * 1000;
    const until = httpDate(value);
    let from = httpDate(this.header("date"));
    if (until < 0) return 0;
    if (from < 0) from = rfc3339(this.call.context.now);
    return max(until - from, 0);
  }
}

function kindOf(status: i32): string {
  switch (status) {
    case 401:
    case 403: return Kind.unauthorized;
    case 404: return Kind.notFound;
    case 408: return Kind.timeout;
    case 409: return Kind.conflict;
    case 413: return Kind.tooLarge;
    case 429: return Kind.rateLimited;
  }
  return status >= 500 ? Kind.unavailable : Kind.failed;
}

/** Whether a character separates words, as Unicode has it. */
function isSpace(c: i32): bool {
  return c == 0x20 || (c >= 9 && c <= 13) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/** The beginning of a body, for a person to read: words with one blank between. */
function excerpt(body: Uint8Array): string {
  const most = 200;
  let text = "";
  let length = 0;
  let blank = false;
  let cut = false;
  for (let at = 0; at < min(body.length, 4 * most); ) {
    const n = character(body.subarray(0, min(body.length, 4 * most)), at);
    if (n == 0) {
      at++; // no UTF-8: left out
      continue;
    }
    const one = textOf(body.subarray(at, at + n));
    at += n;
    if (isSpace(one.codePointAt(0))) {
      blank = length > 0;
      continue;
    }
    const more = n + (blank ? 1 : 0);
    if (length + more > most) {
      if (blank && length < most) text += " ";
      cut = true;
      break;
    }
    text += (blank ? " " : "") + one;
    length += more;
    blank = false;
  }
  return length == 0 ? "" : ": " + text + (cut ? " …" : "");
}

/** Reads digits; -1 is none. */
function number(digits: string): i64 {
  if (!digits.length || digits.length > 9) return -1;
  let n: i64 = 0;
  for (let i = 0; i < digits.length; i++) {
    const c = digits.charCodeAt(i) - 0x30;
    if (c < 0 || c > 9) return -1;
    n = n * 10 + c;
  }
  return n;
}

/** Milliseconds since 1970 in the Gregorian calendar, counted in years that begin in March; -1 if a part is none. */
function moment(year: i64, month: i64, day: i64, clock: string): i64 {
  const hour = number(clock.substring(0, 2)), minute = number(clock.substring(3, 5)), second = number(clock.substring(6, 8));
  if (min(year, min(month, min(day, min(hour, min(minute, second))))) < 0) return -1;
  if (month <= 2) year--;
  const days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 1 - 719468;
  return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000;
}

/** Reads a time such as Fri, 02 Jan 2026 03:04:05 GMT (RFC 9110, section 5.6.7); -1 is none. */
function httpDate(text: string): i64 {
  if (text.length != 29 || !text.endsWith(" GMT")) return -1;
  const month = "JanFebMarAprMayJunJulAugSepOctNovDec".indexOf(text.substring(8, 11));
  return month < 0 ? -1 : moment(number(text.substring(12, 16)), month / 3 + 1, number(text.substring(5, 7)), text.substring(17, 25));
}

/** Reads a time such as 2026-01-02T03:04:05Z, without fractions and zones. */
function rfc3339(text: string): i64 {
  return moment(number(text.substring(0, 4)), number(text.substring(5, 7)), number(text.substring(8, 10)), text.substring(11, 19));
}
