"""The conformance plugin in Python."""

import base64
import json
import os
import time
from dataclasses import dataclass

from riposte import Call, Fault, action


@dataclass
class Nested:
    name: str


@dataclass
class Everything:
    text: str
    number: int
    ratio: float
    flag: bool
    list: list[str]
    nested: Nested


@action
def echo(call: Call, p: Everything) -> Everything:
    return p


@dataclass
class Endpoint:
    ip: str
    port: int


@action
def typed(call: Call, p: Endpoint) -> Endpoint:
    return p


@action
def parse(call: Call, p: dict) -> dict:
    try:
        return {"value": json.loads(p["text"])}
    except ValueError as err:
        raise Fault("invalid", str(err)) from err


@action
def settings(call: Call, p: dict) -> dict:
    return call.settings


@action
def context(call: Call, p: dict) -> dict:
    return {"action": call.action, "invocation": call.invocation, "incident": call.incident, "run": call.run, "step": call.step, "now": call.now,
            "deadline_ms": call.deadline}


@action
def dice(call: Call, p: dict) -> str:
    return os.urandom(16).hex()


@action
def clock(call: Call, p: dict) -> dict:
    first, second = time.time(), time.time()
    return {"since_now": 0 <= first - call.now.timestamp() < 1, "goes_on": second > first}


calls = 0


@action
def count(call: Call, p: dict) -> int:
    global calls
    calls += 1
    return calls


def data(p: dict) -> bytes | str | None:
    return base64.b64decode(p["base64"]) if p.get("base64") else p.get("text") or None


def checksum(content: bytes) -> int:
    s = 0
    for c in content[::61]:
        s = (s * 31 + c) & 0xFFFFFFFF
    return s


@action
def fetch(call: Call, p: dict) -> dict:
    got = call.http(p.get("capability", "api")).request(p["method"], call.settings["url"] + p["path"], headers=p.get("headers"), body=data(p),
                                                        timeout=p.get("timeout_ms", 0) / 1000)
    return {"status": got.status, "type": got.header("Content-Type"), "length": len(got.content), "sum": checksum(got.content)}


@dataclass
class Person:
    name: str
    age: int


@action
def get_json(call: Call, p: dict) -> Person:
    return call.http("api").get(call.settings["url"] + p["path"]).json(Person)


@action
def post_json(call: Call, p: dict) -> dict:
    return call.http("api").post(call.settings["url"] + "/mirror", json={"list": p["list"], "text": p["text"]}).json()


@action
def post_form(call: Call, p: dict) -> dict:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return call.http("api").post(call.settings["url"] + "/mirror", body=p["fields"], headers=headers).json()


@action
def resolve(call: Call, p: dict) -> dict:
    return call.dns("names").resolve(p["name"], p["type"])


@action
def exchange(call: Call, p: dict) -> dict:
    received, truncated = call.tcp("line").exchange(p.get("address", call.settings["line"]), data(p))
    return {"length": len(received), "sum": checksum(received), "truncated": truncated}


@action
def query(call: Call, p: dict) -> dict:
    got = call.sql("inventory").query(p["statement"], **p.get("params", {}))
    return {"columns": got["columns"], "rows": got["rows"], "truncated": got.get("truncated", False)}


@action
def send(call: Call, p: dict) -> str:
    return call.mail("relay").send(**p)


@action
def keep(call: Call, p: dict) -> dict:
    missing = object()
    before = call.kv.get(p["key"], missing) is not missing
    call.kv.put(p["key"], {name: p["value"][name] for name in ("count", "name", "tags")}, p["ttl_s"])
    value = call.kv.get(p["key"])
    call.kv.delete(p["key"])
    return {"before": before, "value": value, "after": call.kv.get(p["key"], missing) is not missing}


@action
def put(call: Call, p: dict) -> bool:
    call.kv.put(p["key"], "x" * p["bytes"])
    return True


@action
def knock(call: Call, p: dict) -> int:
    for _ in range(p["times"]):
        call.kv.get("door")
    return p["times"]


@action
def write(call: Call, p: dict) -> int:
    call.log("debug", p["message"])
    call.info(p["message"])
    call.warn(p["message"])
    call.log("error", p["message"], text=p["message"], count=3)
    return 4


@action
def emit(call: Call, p: dict) -> bool:
    faults = []
    for effect in (lambda: call.artifact("ip", p["ip"], p["verdict"], p["note"]),
                   lambda: call.evidence("dump.bin", "application/octet-stream", base64.b64decode(p["base64"])),
                   lambda: call.finding(p["sentence"], p["verdict"], p["note"])):
        try:
            effect()
        except Fault as fault:
            faults.append(fault)
    if faults:
        raise faults[0]
    return True


@action
def fail(call: Call, p: dict) -> None:
    raise Fault(p["kind"], p["message"], p.get("hint", ""), where=p.get("where", ""), retryable=p.get("retryable", False),
                retry_after=p.get("retry_after_ms", 0))


@action
def catch(call: Call, p: dict) -> dict:
    try:
        call.http("api").get(call.settings["url"] + p["path"])
    except Fault as f:
        return {"kind": f.kind, "message": f.message, "hint": f.hint, "where": f.where, "retryable": f.retryable, "retry_after_ms": f.retry_after}
    raise Fault("failed", "there was no fault")


@action
def crash(call: Call, p: dict) -> int:
    return [1][int("7")]


@action
def recurse(call: Call, p: dict) -> int:
    def deeper(n: int) -> int:
        return n + deeper(n + 1)

    return deeper(1)


@action
def dig(call: Call, p: dict) -> int:
    def deeper(above: list) -> int:
        here = [above[0] + 1] * 16
        return here[0] + deeper(here)

    return deeper([1])


@action
def devour(call: Call, p: dict) -> int:
    everything = []
    while True:
        everything.append(bytearray(1 << 20))


@action
def spin(call: Call, p: dict) -> int:
    while True:
        pass


@action
def flood(call: Call, p: dict) -> str:
    return "x" * p["bytes"]


@action
def lie(call: Call, p: dict) -> dict:
    return {"score": "high"}


@action
def check(call: Call, p: dict) -> bool:
    call.http("api").get(call.settings["url"] + "/person").expect()
    return True


@action
def describe(call: Call, p: dict) -> dict:
    return {"plugin": "conformance"}
