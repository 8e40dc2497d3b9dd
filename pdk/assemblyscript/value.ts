import { current } from "./call";
import { Fault, Kind } from "./fault";
import { fromBase64, toBase64 } from "./bytes";

/** The types of JSON. */
export enum Type {
  null,
  boolean,
  number,
  string,
  array,
  object,
}

function typeName(t: Type): string {
  switch (t) {
    case Type.boolean: return "bool";
    case Type.number: return "number";
    case Type.string: return "string";
    case Type.array: return "array";
    case Type.object: return "object";
  }
  return "null";
}

/**
 * A JSON value. Reading a member that is missing or of another type is a fault of the call that names the place; the readers whose names end in Or
 * give something else for what is missing.
 */
export class Value {
  /** The number; 0 or 1 of a boolean. */
  n: f64 = 0;
  /** The string. */
  s: string = "";
  /** The elements of an array, or the values of an object, whose names are in names. */
  values: Value[] = [];
  names: string[] = [];
  /** Of the root of a document: what places begin with, and whether the other side wrote it, so that what is wrong with it is not the caller's fault. */
  root: string = "$";
  foreign: bool = false;
  private parent: Value | null = null;
  private step: string = "";

  constructor(public type: Type = Type.null) {}

  static of(text: string): Value {
    const v = new Value(Type.string);
    v.s = text;
    return v;
  }

  static number(n: f64): Value {
    const v = new Value(Type.number);
    v.n = n;
    return v;
  }

  static boolean(b: bool): Value {
    const v = new Value(Type.boolean);
    v.n = b ? 1 : 0;
    return v;
  }

  static array(): Value {
    return new Value(Type.array);
  }

  static object(): Value {
    return new Value(Type.object);
  }

  /** The member of this name, or null; of several the last one counts. */
  member(name: string): Value | null {
    for (let i = this.names.length - 1; i >= 0; i--) if (this.names[i] == name) return this.values[i];
    return null;
  }

  /** Whether there is such a member, and it is not null. */
  has(name: string): bool {
    const v = this.member(name);
    return v != null && v.type != Type.null;
  }

  text(name: string): string {
    const v = this.typed(name, Type.string, true);
    return v ? v.s : "";
  }

  textOr(name: string, otherwise: string): string {
    const v = this.typed(name, Type.string, false);
    return v ? v.s : otherwise;
  }

  number(name: string): f64 {
    const v = this.typed(name, Type.number, true);
    return v ? v.n : 0;
  }

  integer(name: string): i64 {
    return this.whole(this.typed(name, Type.number, true), 0);
  }

  integerOr(name: string, otherwise: i64): i64 {
    return this.whole(this.typed(name, Type.number, false), otherwise);
  }

  bool(name: string): bool {
    const v = this.typed(name, Type.boolean, true);
    return v != null && v.n != 0;
  }

  boolOr(name: string, otherwise: bool): bool {
    const v = this.typed(name, Type.boolean, false);
    return v ? v.n != 0 : otherwise;
  }

  /** The elements of an array. */
  list(name: string): Value[] {
    const v = this.typed(name, Type.array, true);
    return v ? v.values : [];
  }

  object(name: string): Value {
    const v = this.typed(name, Type.object, true);
    return v ? v : Value.object();
  }

  /** Bytes that stand there as base64; none if the member is missing. */
  base64(name: string): Uint8Array {
    const bytes = fromBase64(this.textOr(name, ""));
    if (bytes) return bytes;
    this.misfit(this.place() + "." + name, "expected base64");
    return new Uint8Array(0);
  }

  set(name: string, value: Value): Value {
    this.names.push(name);
    return this.put(value, "." + name);
  }

  setText(name: string, text: string): Value {
    return this.set(name, Value.of(text));
  }

  setNumber(name: string, n: f64): Value {
    return this.set(name, Value.number(n));
  }

  setInteger(name: string, n: i64): Value {
    return this.set(name, Value.number(<f64>n));
  }

  setBool(name: string, b: bool): Value {
    return this.set(name, Value.boolean(b));
  }

  /** Sets bytes as base64. */
  setBytes(name: string, bytes: Uint8Array): Value {
    return this.setText(name, toBase64(bytes));
  }

  add(value: Value): Value {
    return this.put(value, "[" + this.values.length.toString() + "]");
  }

  private put(value: Value, step: string): Value {
    if (!value.parent) {
      value.parent = this;
      value.step = step;
    }
    this.values.push(value);
    return this;
  }

  /** Makes the value the root of a document of its own. */
  asRoot(name: string, foreign: bool = false): Value {
    this.parent = null;
    this.root = name;
    this.foreign = foreign;
    return this;
  }

  /** Where the value stands, as a JSON path. */
  place(): string {
    const parent = this.parent;
    return parent ? parent.place() + this.step : this.root;
  }

  private typed(name: string, type: Type, must: bool): Value | null {
    const v = this.member(name);
    if (v && v.type == type) return v;
    if ((!v || v.type == Type.null) && !must) return null;
    this.misfit(this.place() + "." + name, (v ? "found " + typeName(v.type) : "it is missing") + ", expected " + typeName(type));
    return null;
  }

  private whole(v: Value | null, otherwise: i64): i64 {
    if (!v) return otherwise;
    if (Math.floor(v.n) == v.n && Math.abs(v.n) < 9223372036854774784) return <i64>v.n;
    this.misfit(v.place(), "expected a whole number");
    return otherwise;
  }

  private misfit(where: string, message: string): void {
    let root: Value = this;
    for (let up = root.parent; up; up = root.parent) root = up;
    if (root.foreign) {
      current.fail(Kind.unavailable, "the other side answered something else than the expected JSON: " + where + ": " + message, "check the address in the connector's settings");
      return;
    }
    const fault = new Fault(Kind.invalid, message);
    fault.where = where;
    current.failWith(fault);
  }
}
