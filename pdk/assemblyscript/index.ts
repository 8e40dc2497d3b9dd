/**
 * The kit for Riposte plugins in AssemblyScript. An action is an exported function that hands another one to run:
 *
 *   import { Call, Value, run } from "./riposte-pdk/assemblyscript";
 *
 *   export function block_ip(): i32 { return run(block); }   // the action block-ip
 *
 *   function block(call: Call, p: Value): Value {
 *     const body = Value.object().setText("ip", p.text("ip"));
 *     call.http("api").postJSON(call.settings.text("url") + "/block", body).expect();
 *     return Value.object().setBool("present", true);
 *   }
 *
 * The language has no exceptions. The first fault stays with the call: from then on whatever asks the host does nothing and gives nothing, and
 * the fault is what the action comes to. Whoever wants to go on after a fault takes it with call.caught(); a loop that asks the host ends
 * with call.failed.
 */
export { Call, Context, run } from "./call";
export { Fault, Kind } from "./fault";
export { HTTP, Request, Response } from "./http";
export { Mail, Received } from "./doors";
export { Type, Value } from "./value";
export { parse, stringify } from "./json";
export { aborted } from "./host";
