// What the engine does before and around the scripts of a package. It gives engine, the functions of engine.c, two more: load and run. The kit
// finds engine as globalThis.__riposte, and puts there, as engine.act, what runs one action.
(engine) => {
  "use strict";

  Math.random = engine.random;
  globalThis.crypto = { getRandomValues: engine.fill };
  globalThis.performance = { now: engine.now };
  globalThis.__riposte = engine;

  globalThis.TextEncoder = class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return engine.encode(String(text)); }
  };
  globalThis.TextDecoder = class TextDecoder {
    constructor(label = "utf-8", { fatal = false } = {}) {
      if (!/^utf-?8$/i.test(label)) throw new RangeError(`TextDecoder knows UTF-8 only, not ${label}`);
      this.fatal = fatal;
    }
    get encoding() { return "utf-8"; }
    decode(bytes = new Uint8Array()) {
      const text = engine.decode(bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes, !this.fatal);
      if (text === null) throw new TypeError("these bytes are not UTF-8");
      return text;
    }
  };

  // places lists the stack of an error, innermost function first: "lookup (plugin.js:12:5)"; at most fifty.
  const places = (error) => String(error?.stack ?? "").split("\n").map((line) => line.trim().replace(/^at /, ""))
    .filter((line) => line !== "" && !/\(native\)$|^engine:|\(engine[:)]|\(riposte\.js[:)]/.test(line)).slice(0, 50);

  // crash is the result of a script that threw something else than a Fault of the kit.
  const crash = (error, kind = "trap") => {
    const stack = places(error);
    let message = error instanceof Error ? `${error.name}: ${error.message}` : `the script threw ${String(error)}`;
    if (error instanceof InternalError && error.message === "out of memory") [kind, message] = ["limit", "the plugin needs more memory than it has"];
    if (error instanceof InternalError && error.message === "stack overflow") [kind, message] = ["limit", "the plugin calls itself too deeply"];
    const where = /\(?([^\s()]+:\d+(?::\d+)?)\)?$/.exec(stack[0] ?? "")?.[1];
    return { fault: { kind, message, where }, stack };
  };

  // wait gives what a promise came to, or throws it.
  const wait = (promise) => {
    if (!(promise instanceof Promise)) return promise;
    const [state, value] = engine.settle(promise);
    if (state === 1) return value;
    if (state === 2) throw value;
    throw new Error("it waits for something that never comes");
  };

  engine.load = (input) => {
    try {
      const { entry, files } = JSON.parse(input);
      for (const [name, file] of Object.entries(files)) engine.files[name] = file.base64 ? engine.decode64(file.base64) : file.text ?? "";
      wait(engine.import(entry));
      if (!engine.act) {
        const fault = { kind: "invalid", message: `${entry} does not import the kit`, hint: 'begin it with: import { action } from "riposte"', where: entry };
        return JSON.stringify({ fault });
      }
      return JSON.stringify({ output: { actions: [...engine.actions.keys()] } });
    } catch (error) {
      return JSON.stringify(crash(error, "invalid"));
    }
  };

  engine.run = (input) => {
    try {
      const call = JSON.parse(input);
      return engine.act(call, wait, crash);
    } catch (error) {
      return JSON.stringify(crash(error));
    }
  };
}
