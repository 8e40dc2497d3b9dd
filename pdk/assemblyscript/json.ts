import { Buffer, bytesOf, character, textOf } from "./bytes";
import { Type, Value } from "./value";

/** How many arrays and objects may lie within each other. */
const maxDepth = 100;

/** Reads JSON (RFC 8259), strictly. Where it is none, the reader's error says what is wrong, and the value is null. */
export class Reader {
  error: string = "";
  private at: i32 = 0;

  constructor(private b: Uint8Array) {}

  read(): Value {
    const v = this.value(maxDepth + 1);
    if (!this.error.length && this.at < this.b.length) this.wrong("there is something behind the value");
    return this.error.length ? new Value() : v;
  }

  private wrong(error: string): Value {
    if (!this.error.length) this.error = error;
    this.at = this.b.length;
    return new Value();
  }

  private blanks(): void {
    while (this.at < this.b.length) {
      const c = unchecked(this.b[this.at]);
      if (c != 0x20 && c != 9 && c != 10 && c != 13) break;
      this.at++;
    }
  }

  private take(c: i32): bool {
    if (this.at == this.b.length || this.b[this.at] != c) return false;
    this.at++;
    return true;
  }

  private word(word: string): bool {
    if (this.b.length - this.at < word.length) return false;
    for (let i = 0; i < word.length; i++) if (this.b[this.at + i] != word.charCodeAt(i)) return false;
    this.at += word.length;
    return true;
  }

  /** Reads a value and the blanks around it. */
  private value(depth: i32): Value {
    if (depth == 0) return this.wrong("too many arrays and objects within each other");
    this.blanks();
    let v: Value;
    if (this.take(0x7b)) v = this.object(depth - 1);
    else if (this.take(0x5b)) v = this.array(depth - 1);
    else if (this.take(0x22)) v = Value.of(this.text());
    else if (this.word("true")) v = Value.boolean(true);
    else if (this.word("false")) v = Value.boolean(false);
    else if (this.word("null")) v = new Value();
    else v = this.number();
    this.blanks();
    return v;
  }

  private array(depth: i32): Value {
    const list = Value.array();
    this.blanks();
    if (this.take(0x5d)) return list;
    do list.add(this.value(depth));
    while (this.take(0x2c));
    return this.take(0x5d) ? list : this.wrong("expected , or ] in an array");
  }

  private object(depth: i32): Value {
    const object = Value.object();
    this.blanks();
    if (this.take(0x7d)) return object;
    do {
      this.blanks();
      if (!this.take(0x22)) return this.wrong("expected the name of a member");
      const name = this.text();
      this.blanks();
      if (!this.take(0x3a)) return this.wrong("expected : behind the name of a member");
      object.set(name, this.value(depth));
    } while (this.take(0x2c));
    return this.take(0x7d) ? object : this.wrong("expected , or } in an object");
  }

  private digits(): bool {
    const from = this.at;
    while (this.at < this.b.length && this.b[this.at] >= 0x30 && this.b[this.at] <= 0x39) this.at++;
    return this.at > from;
  }

  private number(): Value {
    const from = this.at;
    this.take(0x2d);
    let ok = this.take(0x30) || this.digits();
    if (ok && this.take(0x2e)) ok = this.digits();
    if (ok && (this.take(0x65) || this.take(0x45))) {
      if (!this.take(0x2b)) this.take(0x2d);
      ok = this.digits();
    }
    if (!ok) return this.wrong("expected a value");
    const n = parseFloat(textOf(this.b.subarray(from, this.at)));
    return isFinite(n) ? Value.number(n) : this.wrong("a number is too large");
  }

  /** Reads behind the quote. */
  private text(): string {
    let from = this.at;
    let escaped: Buffer | null = null;
    while (this.at < this.b.length) {
      const c = unchecked(this.b[this.at]);
      if (c == 0x22) {
        const plain = this.b.subarray(from, this.at++);
        if (!escaped) return textOf(plain);
        for (let i = 0; i < plain.length; i++) escaped.byte(plain[i]);
        return textOf(escaped.bytes());
      }
      if (c == 0x5c) {
        if (!escaped) escaped = new Buffer();
        for (let i = from; i < this.at; i++) escaped.byte(this.b[i]);
        this.at++;
        if (!this.escape(escaped)) break;
        from = this.at;
        continue;
      }
      const n = c < 0x20 ? 0 : character(this.b, this.at);
      if (n == 0) break;
      this.at += n;
    }
    this.wrong("a text has no end, holds what must be escaped, or is not UTF-8");
    return "";
  }

  private escape(to: Buffer): bool {
    if (this.at == this.b.length) return false;
    const c = this.b[this.at++];
    switch (c) {
      case 0x22: case 0x5c: case 0x2f: to.byte(c); return true;
      case 0x62: to.byte(8); return true;
      case 0x66: to.byte(12); return true;
      case 0x6e: to.byte(10); return true;
      case 0x72: to.byte(13); return true;
      case 0x74: to.byte(9); return true;
      case 0x75: break;
      default: return false;
    }
    let code = this.hex4();
    if (code < 0) return false;
    if (code >= 0xd800 && code < 0xdc00 && this.at + 6 <= this.b.length && this.b[this.at] == 0x5c && this.b[this.at + 1] == 0x75) {
      const back = this.at;
      this.at += 2;
      const low = this.hex4();
      if (low < 0) return false;
      if (low >= 0xdc00 && low < 0xe000) code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      else this.at = back;
    }
    to.rune(code >= 0xd800 && code < 0xe000 ? 0xfffd : code); // half of a pair
    return true;
  }

  private hex4(): i32 {
    if (this.b.length - this.at < 4) return -1;
    let code = 0;
    for (let i = 0; i < 4; i++) {
      const c = <i32>this.b[this.at++];
      const digit = c >= 0x30 && c <= 0x39 ? c - 0x30 : (c | 32) >= 0x61 && (c | 32) <= 0x66 ? (c | 32) - 0x57 : -1;
      if (digit < 0) return -1;
      code = (code << 4) | digit;
    }
    return code;
  }
}

/** Reads JSON; what is none is null. Use Reader for the reason. */
export function parse(json: string): Value {
  return new Reader(bytesOf(json)).read();
}

/** Writes a value as JSON. */
export function stringify(v: Value): string {
  return textOf(write(v));
}

/** Writes a value as JSON in UTF-8. */
export function write(v: Value): Uint8Array {
  const out = new Buffer();
  writeTo(out, v);
  return out.bytes();
}

function writeTo(out: Buffer, v: Value): void {
  switch (v.type) {
    case Type.boolean: return out.ascii(v.n != 0 ? "true" : "false");
    case Type.number: return out.ascii(numberText(v.n));
    case Type.string: return writeText(out, v.s);
    case Type.array:
    case Type.object: return writeContainer(out, v);
  }
  out.ascii("null");
}

function writeContainer(out: Buffer, v: Value): void {
  const object = v.type == Type.object;
  out.byte(object ? 0x7b : 0x5b);
  for (let i = 0; i < v.values.length; i++) {
    if (i > 0) out.byte(0x2c);
    if (object) {
      writeText(out, v.names[i]);
      out.byte(0x3a);
    }
    writeTo(out, v.values[i]);
  }
  out.byte(object ? 0x7d : 0x5d);
}

function numberText(n: f64): string {
  if (!isFinite(n)) return "0";
  if (Math.floor(n) == n && Math.abs(n) < 9007199254740992) return (<i64>n).toString();
  return n.toString();
}

function writeText(out: Buffer, text: string): void {
  out.byte(0x22);
  for (let i = 0; i < text.length; i++) {
    let c = <u32>text.charCodeAt(i);
    const short = c == 0x22 || c == 0x5c ? c : c == 8 ? 0x62 : c == 9 ? 0x74 : c == 10 ? 0x6e : c == 12 ? 0x66 : c == 13 ? 0x72 : 0;
    if (short != 0) {
      out.byte(0x5c);
      out.byte(short);
    } else if (c < 0x20) {
      out.ascii(c < 0x10 ? "\\u000" : "\\u001");
      out.byte("0123456789abcdef".charCodeAt(c & 15));
    } else {
      if (c >= 0xd800 && c < 0xe000) {
        const low = c < 0xdc00 && i + 1 < text.length ? <u32>text.charCodeAt(i + 1) : 0;
        if (low >= 0xdc00 && low < 0xe000) {
          c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
          i++;
        } else c = 0xfffd; // half of a pair
      }
      out.rune(c);
    }
  }
  out.byte(0x22);
}
