// Trials of actions without a sandbox, in Node.js.

import { readFile } from "node:fs/promises";

/**
 * Calls an action of a module: settings and parameters go through JSON as they do in production, host calls to host, which gets the name of the
 * function, such as http.fetch, and its request, and gives {value: …} or {fault: …}. The result is {output: …} or {fault: …}. The time of the call is
 * 2026-01-02 03:04:05 UTC, and there is no randomness.
 */
export async function tryAction(file, action, settings, parameters, host) {
  const blocks = new Map();
  let next = 1n;
  let output;
  let said = "";
  const give = (bytes) => {
    if (!bytes.length) return 0n;
    blocks.set(next, bytes);
    return next++;
  };
  const json = (value) => give(new TextEncoder().encode(JSON.stringify(value)));
  const context = { invocation: "try", now: "2026-01-02T03:04:05Z", deadline_ms: 30000 };
  const input = json({ action, settings, parameters, context });
  const door = (name) => (handle) => json(host(name, JSON.parse(new TextDecoder().decode(blocks.get(handle)))));
  const memory = () => new Uint8Array(instance.exports.memory.buffer);
  const doors = { http: ["fetch"], dns: ["resolve"], tcp: ["exchange"], sql: ["query"], mail: ["send"], kv: ["get", "put", "delete"], emit: ["artifact", "evidence", "finding"] };
  const imports = {
    "extism:host/env": {
      input_offset: () => input,
      length: (handle) => BigInt(blocks.get(handle)?.length ?? 0),
      free: (handle) => blocks.delete(handle),
      output_set: (handle) => (output = blocks.get(handle)),
      error_set: (handle) => (said = new TextDecoder().decode(blocks.get(handle))),
    },
    "riposte:mem/v1": {
      read: (handle, to) => memory().set(blocks.get(handle), to),
      write: (from, length) => give(memory().slice(from, from + length)),
    },
    "riposte:log/v1": { write: (handle) => (console.log(new TextDecoder().decode(blocks.get(handle))), json({})) },
    wasi_snapshot_preview1: {
      clock_time_get: (_id, _precision, to) => (new DataView(memory().buffer).setBigUint64(to, 1_767_323_045_000_000_000n, true), 0),
      random_get: (to, length) => (memory().fill(4, to, to + length), 0),
    },
  };
  for (const [kind, names] of Object.entries(doors)) {
    imports[`riposte:${kind}/v1`] = Object.fromEntries(names.map((name) => [name, door(`${kind}.${name}`)]));
  }
  const { instance } = await WebAssembly.instantiate(await readFile(file), imports);
  instance.exports._initialize?.();
  let code;
  try {
    code = instance.exports[action]();
  } catch (err) {
    throw said ? new Error(said, { cause: err }) : err;
  }
  if (code !== 0) throw new Error(`${action} returned ${code}`);
  return JSON.parse(new TextDecoder().decode(output));
}
