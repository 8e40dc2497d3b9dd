import { Buffer } from "./bytes";

// The imports of a guest. The compiler keeps those that the plugin's code can reach, and no others.

// @ts-ignore: decorator
@external("extism:host/env", "input_offset")
declare function inputOffset(): u64;
// @ts-ignore: decorator
@external("extism:host/env", "length")
declare function blockLength(handle: u64): u64;
// @ts-ignore: decorator
@external("extism:host/env", "free")
declare function blockFree(handle: u64): void;
// @ts-ignore: decorator
@external("extism:host/env", "output_set")
declare function outputSet(handle: u64, length: u64): void;
// @ts-ignore: decorator
@external("extism:host/env", "error_set")
declare function errorSet(handle: u64): void;
// @ts-ignore: decorator
@external("riposte:mem/v1", "read")
declare function memoryRead(handle: u64, to: usize): void;
// @ts-ignore: decorator
@external("riposte:mem/v1", "write")
declare function memoryWrite(from: usize, length: i32): u64;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "clock_time_get")
declare function clockTime(id: i32, precision: u64, time: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "random_get")
declare function randomGet(to: usize, length: i32): i32;

// @ts-ignore: decorator
@external("riposte:http/v1", "fetch")
export declare function httpFetch(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:dns/v1", "resolve")
export declare function dnsResolve(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:tcp/v1", "exchange")
export declare function tcpExchange(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:sql/v1", "query")
export declare function sqlQuery(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:mail/v1", "send")
export declare function mailSend(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:kv/v1", "get")
export declare function kvGet(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:kv/v1", "put")
export declare function kvPut(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:kv/v1", "delete")
export declare function kvDelete(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:log/v1", "write")
export declare function logWrite(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:emit/v1", "artifact")
export declare function emitArtifact(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:emit/v1", "evidence")
export declare function emitEvidence(request: u64): u64;
// @ts-ignore: decorator
@external("riposte:emit/v1", "finding")
export declare function emitFinding(request: u64): u64;

/** Copies a block out of the host and frees it. */
export function take(handle: u64): Uint8Array {
  const block = new Uint8Array(<i32>blockLength(handle));
  if (block.length > 0) {
    memoryRead(handle, block.dataStart);
    blockFree(handle);
  }
  return block;
}

/** Copies bytes into a block of the host. */
export function give(bytes: Uint8Array): u64 {
  return memoryWrite(bytes.dataStart, bytes.length);
}

export function free(handle: u64): void {
  blockFree(handle);
}

export function input(): Uint8Array {
  return take(inputOffset());
}

export function output(result: Uint8Array): i32 {
  outputSet(give(result), result.length);
  return 0;
}

/** The time since 1970 in nanoseconds. */
export function clock(): u64 {
  const time = new StaticArray<u64>(1);
  clockTime(0, 1000, changetype<usize>(time));
  return time[0];
}

export function random(to: Uint8Array): void {
  randomGet(to.dataStart, to.length);
}

export let warming: bool = false;

/**
 * Begins and ends the rehearsal of the actions, which the host does once, before it takes the state that every invocation begins with. What it
 * leaves is a heap with room, so that an ordinary call need not make the memory grow.
 */
export function riposte_warm(): void {
  warming = !warming;
  heap.free(heap.alloc(256 << 10));
}

/** Leaves the host what the program says when it aborts; the trap that follows says nothing. */
export function aborted(message: string | null, file: string | null, line: u32, column: u32): void {
  const said = new Buffer();
  const text = (message ? message : "aborted") + (file ? " at " + file + ":" + line.toString() + ":" + column.toString() : "");
  for (let i = 0; i < text.length; i++) {
    const c = text.codePointAt(i);
    said.rune(c);
    if (c > 0xffff) i++;
  }
  errorSet(give(said.bytes()));
  unreachable();
}
