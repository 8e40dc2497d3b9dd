// Types of the kit; riposte.js says what a plugin is.

export type Kind =
  | "invalid" | "refused" | "unauthorized" | "not_found" | "conflict" | "too_large" | "rate_limited" | "unavailable" | "timeout"
  | "cancelled" | "limit" | "trap" | "diverged" | "failed" | "in_doubt" | "internal";

export type Verdict = "benign" | "suspicious" | "malicious" | "unknown";

/** What went wrong, in the words that every part of Riposte has for it. Timeouts, rate limits and unavailability are retryable unless said otherwise. */
export class Fault extends Error {
  constructor(kind: Kind, message: string, hint?: string, more?: { where?: string; retryable?: boolean; retryAfter?: number });
  kind: Kind;
  hint: string;
  where: string;
  retryable: boolean;
  /** Milliseconds. */
  retryAfter: number;
}

/** The answer to an HTTP request. Any status is an answer. */
export class Response {
  status: number;
  /** Names in lower case; several values are joined by ", ". */
  headers: Record<string, string>;
  readonly bytes: Uint8Array;
  /** What is not UTF-8 is replaced by U+FFFD. */
  readonly text: string;
  header(name: string): string;
  /** Checks for a status of 2xx and decodes the body; with a shape, that is held against it. */
  json(shape?: Shape): any;
  /** Throws the Fault that the status stands for unless it is one of those given, or 2xx if none is given. */
  expect(...statuses: number[]): this;
}

export interface RequestOptions {
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** A body that is written as JSON. */
  json?: unknown;
  /** Milliseconds. */
  timeout?: number;
}

export interface HTTP {
  request(method: string, url: string, options?: RequestOptions): Response;
  get(url: string, options?: RequestOptions): Response;
  post(url: string, options?: RequestOptions): Response;
  put(url: string, options?: RequestOptions): Response;
  delete(url: string, options?: RequestOptions): Response;
}

export interface DNS {
  /** NXDOMAIN is an answer; for PTR an address is taken too. ttl counts in seconds. */
  resolve(name: string, type: "A" | "AAAA" | "PTR" | "MX" | "TXT" | "CNAME" | "NS" | "SOA"): {
    rcode: string;
    records: { name: string; type: string; ttl: number; value: string }[];
  };
}

export interface TCP {
  /** Connects to host:port, sends, and reads until the other side closes; truncated says that there was more than is allowed. */
  exchange(address: string, send: string | Uint8Array, options?: { maxBytes?: number; timeout?: number }): { bytes: Uint8Array; truncated: boolean };
}

export interface SQL {
  /** Runs a statement of the manifest or of the connector's settings, by name. */
  query(statement: string, params?: Record<string, unknown>): { columns: string[]; rows: Record<string, any>[]; affected?: number; truncated?: boolean };
}

export interface Mail {
  /** Gives the Message-ID. */
  send(message: { to: string[]; cc?: string[]; subject: string; text: string; html?: string }): string;
}

/** The connector's own store. */
export interface KV {
  get<T = any>(key: string, otherwise?: T): T | undefined;
  /** ttl is in seconds; without it the value stays. */
  put(key: string, value: unknown, options?: { ttl?: number }): void;
  delete(key: string): void;
}

/** One invocation of an action. Host functions need no await, and throw a Fault where the host refuses or fails. */
export class Call<Settings = any> {
  readonly action: string;
  /** Without the secrets: the host adds them to requests by itself. */
  readonly settings: Settings;
  readonly invocation: string;
  readonly incident: string;
  readonly run: string;
  readonly step: string;
  /** Milliseconds that the invocation may take. */
  readonly deadline: number;
  /** The time of the invocation; it stands still. */
  readonly now: Date;
  http(capability: string): HTTP;
  dns(capability: string): DNS;
  tcp(capability: string): TCP;
  sql(capability: string): SQL;
  mail(capability: string): Mail;
  readonly kv: KV;
  log(level: "debug" | "info" | "warn" | "error", message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  /** kind is ip, domain, url, hash, user, host … */
  artifact(kind: string, value: string, verdict?: Verdict, note?: string): void;
  evidence(name: string, mediaType: string, data: string | Uint8Array): void;
  finding(sentence: string, verdict?: Verdict, note?: string): void;
}

export type Handler<Parameters = any, Result = any> = (call: Call, parameters: Parameters) => Result | Promise<Result>;

/**
 * What a JSON value must be: a word, with a question mark if it may be missing; an object of shapes, which is all that is then seen of the value; or
 * an array of one shape, for each element.
 */
export type Shape = "any" | `${"string" | "number" | "integer" | "boolean" | "object" | "array"}${"" | "?"}` | [Shape] | { [name: string]: Shape };

/** Makes a function the action of this name, and gives it back. With a shape, parameters that do not have it are a fault. */
export function action<P = any, R = any>(name: string, handler: Handler<P, R>): Handler<P, R>;
export function action<P = any, R = any>(name: string, shape: Shape, handler: Handler<P, R>): Handler<P, R>;

/** Gives a file of the package: text where it is UTF-8. */
export function asset(name: string): string | Uint8Array;

/**
 * Calls an action in a plugin's own unit test, without a sandbox; parameters and result go through JSON as they do in production. The stub answers
 * the host calls: it gets the name of the function, such as "http.fetch", and the request, and returns the value or throws a Fault; without it each
 * of them is refused. The time of the call is 2026-01-02 03:04:05 UTC.
 */
export function attempt<P, R>(handler: Handler<P, R>, parameters?: P, settings?: unknown, stub?: (fn: string, request: any) => unknown): Promise<R>;
