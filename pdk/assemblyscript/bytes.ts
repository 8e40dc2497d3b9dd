/** A growing row of bytes. */
export class Buffer {
  private data: Uint8Array = new Uint8Array(256);
  length: i32 = 0;

  byte(b: u32): void {
    if (this.length == this.data.length) this.grow(1);
    unchecked((this.data[this.length++] = <u8>b));
  }

  /** Writes ASCII. */
  ascii(text: string): void {
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  /** Writes a character in UTF-8. */
  rune(c: u32): void {
    if (c < 0x80) return this.byte(c);
    if (c < 0x800) {
      this.byte(0xc0 | (c >> 6));
    } else {
      if (c < 0x10000) {
        this.byte(0xe0 | (c >> 12));
      } else {
        this.byte(0xf0 | (c >> 18));
        this.byte(0x80 | ((c >> 12) & 63));
      }
      this.byte(0x80 | ((c >> 6) & 63));
    }
    this.byte(0x80 | (c & 63));
  }

  bytes(): Uint8Array {
    return Uint8Array.wrap(this.data.buffer, 0, this.length);
  }

  private grow(more: i32): void {
    const larger = new Uint8Array((this.length + more) * 2);
    memory.copy(larger.dataStart, this.data.dataStart, this.length);
    this.data = larger;
  }
}

/** Length of the character of UTF-8 at a place, 0 for what is none. */
export function character(b: Uint8Array, at: i32): i32 {
  const first = b[at];
  const n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (n == 0 || at + n > b.length) return 0;
  for (let i = 1; i < n; i++) if ((b[at + i] & 0xc0) != 0x80) return 0;
  if (n < 3) return n;
  const second = b[at + 1];
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
  return n;
}

export function isUTF8(b: Uint8Array): bool {
  for (let at = 0; at < b.length; ) {
    const n = character(b, at);
    if (n == 0) return false;
    at += n;
  }
  return true;
}

export function textOf(b: Uint8Array): string {
  return b.length == 0 ? "" : String.UTF8.decodeUnsafe(b.dataStart, b.length);
}

export function bytesOf(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text, false, String.UTF8.ErrorMode.REPLACE));
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Base64 with padding (RFC 4648, section 4). */
export function toBase64(b: Uint8Array): string {
  const out = new Buffer();
  for (let i = 0; i < b.length; i += 3) {
    const n = min(b.length - i, 3);
    let word: u32 = 0;
    for (let k = 0; k < 3; k++) word = (word << 8) | (k < n ? b[i + k] : 0);
    for (let k = 0; k < 4; k++) out.byte(k <= n ? digits.charCodeAt((word >> (18 - 6 * k)) & 63) : 0x3d);
  }
  return textOf(out.bytes());
}

/** Gives null for what is not base64. */
export function fromBase64(text: string): Uint8Array | null {
  let n = text.length;
  while (n > 0 && text.length - n < 2 && text.charCodeAt(n - 1) == 0x3d) n--;
  if (text.length % 4 != 0 || n % 4 == 1) return null;
  const out = new Buffer();
  let word: u32 = 0;
  let bits = 0;
  for (let i = 0; i < n; i++) {
    const value = digit(text.charCodeAt(i));
    if (value < 0) return null;
    word = (word << 6) | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out.byte((word >> bits) & 255);
    }
  }
  return out.bytes();
}

function digit(c: i32): i32 {
  if (c >= 0x41 && c <= 0x5a) return c - 0x41;
  if (c >= 0x61 && c <= 0x7a) return c - 0x61 + 26;
  if (c >= 0x30 && c <= 0x39) return c - 0x30 + 52;
  return c == 0x2b ? 62 : c == 0x2f ? 63 : -1;
}
