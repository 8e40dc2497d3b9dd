import { bytesOf, isUTF8, textOf } from "./bytes";
import { Value } from "./value";

/** What the other side of a TCP connection sent. truncated says that there was more than the grant allows. */
export class Received {
  constructor(public bytes: Uint8Array, public truncated: bool) {}
}

/** A message. The sender is the connector's. */
export class Mail {
  to: string[] = [];
  cc: string[] = [];
  subject: string = "";
  text: string = "";
  html: string = "";

  request(capability: string): Value {
    return Value.object().setText("capability", capability).set("to", texts(this.to)).set("cc", texts(this.cc)).setText("subject", this.subject)
      .setText("text", this.text).setText("html", this.html);
  }
}

function texts(list: string[]): Value {
  const v = Value.array();
  for (let i = 0; i < list.length; i++) v.add(Value.of(list[i]));
  return v;
}

/** Puts bytes into a request: as text where they are UTF-8. */
export function setPayload(request: Value, name: string, bytes: Uint8Array): void {
  const payload = Value.object();
  if (isUTF8(bytes)) payload.setText("text", textOf(bytes));
  else payload.setBytes("base64", bytes);
  request.set(name, payload);
}

export function payload(answer: Value, name: string): Uint8Array {
  const v = answer.member(name);
  if (!v) return new Uint8Array(0);
  return v.has("base64") ? v.base64("base64") : bytesOf(v.textOr("text", ""));
}
