"""The kit for Riposte plugins in Python.

    from riposte import Call, action

    @action
    def lookup(call: Call, parameters: dict) -> dict:
        answer = call.http("api").get(call.settings["base_url"] + "/" + parameters["ip"])
        return {"score": answer.json()["score"]}

An action is a function of the call and its parameters: a dict, or a dataclass if it is annotated with one. What it returns is the result; a
Fault that it raises is that of the action, and any other exception a defect of the plugin, which is reported with file and line. Host functions
are methods of the call; each raises a Fault where the host refuses or fails. Natively there is no host: see attempt.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import types
import typing
from datetime import datetime, timedelta, timezone

try:
    import _boot  # the engine's
    import _riposte
except ImportError:  # natively
    _boot = _riposte = None

__all__ = ["Call", "Fault", "Response", "action", "asset", "attempt"]

_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"  # RFC 9110 section 5.6.7
_RETRYABLE = ("timeout", "rate_limited", "unavailable")


class Fault(Exception):
    """What went wrong, in the words that every part of Riposte has for it.

    kind is invalid, refused, unauthorized, not_found, conflict, too_large, rate_limited, unavailable, timeout, cancelled, limit, failed or in_doubt.
    retry_after is in milliseconds. Timeouts, rate limits and unavailability are retryable unless retryable says otherwise.
    """

    def __init__(self, kind: str, message: str, hint: str = "", *, where: str = "", retryable: bool | None = None, retry_after: int = 0):
        super().__init__(message)
        self.kind, self.message, self.hint, self.where, self.retry_after = kind, message, hint, where, retry_after
        self.retryable = kind in _RETRYABLE if retryable is None else retryable

    def __str__(self) -> str:
        text = f"{self.where}: " if self.where else ""
        return f"{text}{self.kind}: {self.message}" + (f" ({self.hint})" if self.hint else "")

    def _document(self) -> dict:
        fields = {"kind": self.kind, "message": self.message, "hint": self.hint, "where": self.where, "retryable": self.retryable,
                  "retry_after_ms": self.retry_after}
        return {name: value for name, value in fields.items() if value or name in ("kind", "message")}

    @staticmethod
    def _of(fields: dict) -> Fault:
        return Fault(fields["kind"], fields.get("message", ""), fields.get("hint", ""), where=fields.get("where", ""),
                     retryable=fields.get("retryable", False), retry_after=fields.get("retry_after_ms", 0))


def _write(value, what: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError) as error:
        raise Fault("failed", f"{what} cannot be written as JSON: {error}") from None


def _plain(value):
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} is no JSON")


def _payload(data: str | bytes) -> dict:
    if isinstance(data, str):
        return {"text": data}
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes(payload: dict) -> bytes:
    return base64.b64decode(payload["base64"]) if payload.get("base64") else payload.get("text", "").encode()


class Response:
    """The answer to an HTTP request. Any status is an answer. Names of headers are in lower case; several values are joined by ", "."""

    def __init__(self, value: dict, now: datetime):
        self.status: int = value.get("status", 0)
        self.headers: dict[str, str] = value.get("headers") or {}
        self._body, self._now = value.get("body") or {}, now

    @property
    def content(self) -> bytes:
        """The body."""
        return _bytes(self._body)

    @property
    def text(self) -> str:
        """The body; what is not UTF-8 in it is replaced by U+FFFD."""
        return self._body.get("text", "") if not self._body.get("base64") else self.content.decode(errors="replace")

    def header(self, name: str) -> str:
        """Gives a header by its name in any case; "" if it is not there."""
        return self.headers.get(name.lower(), "")

    def json(self, shape: type = typing.Any):
        """Checks for a status of 2xx and decodes the body, into a dataclass if one is given."""
        self.expect()
        try:
            return _fit(shape, json.loads(self.text), "$")
        except (ValueError, Fault) as error:
            found = f"{error.where}: {error.message}" if isinstance(error, Fault) else str(error)
            raise Fault("unavailable", f"the other side answered something else than the expected JSON: {found}",
                        "check the address in the connector's settings") from None

    def expect(self, *statuses: int) -> Response:
        """Raises the Fault that the status stands for unless it is one of those given, or 2xx if none is given."""
        if self.status in statuses or not statuses and 200 <= self.status < 300:
            return self
        kind = {401: "unauthorized", 403: "unauthorized", 404: "not_found", 408: "timeout", 409: "conflict", 413: "too_large",
                429: "rate_limited"}.get(self.status, "unavailable" if self.status >= 500 else "failed")
        hint = "check the credentials in the connector's settings, and what they are allowed to do" if kind == "unauthorized" else ""
        raise Fault(kind, f"the other side answered {self.status}{self._excerpt()}", hint, retry_after=self._retry_after())

    def _excerpt(self) -> str:
        text = " ".join(self.content[:800].decode(errors="ignore").split())
        short = text.encode()[:200].decode(errors="ignore")
        return f": {short}" + (" …" if short != text else "") if text else ""

    def _retry_after(self) -> int:
        value = self.header("retry-after")
        if not value:
            return 0
        if value.isascii() and value.isdigit():
            return int(value) * 1000
        try:
            until = datetime.strptime(value, _HTTP_DATE)
            since = datetime.strptime(self.header("date"), _HTTP_DATE) if self.header("date") else self._now.replace(tzinfo=None)
            return max((until - since) // timedelta(milliseconds=1), 0)
        except ValueError:
            return 0


class _Door:
    def __init__(self, call: Call, capability: str):
        self._call, self._capability = call, capability


class HTTP(_Door):
    """Sends requests under one http capability."""

    def request(self, method: str, url: str, *, headers: dict[str, str] | None = None, body: str | bytes | None = None, json=None,
                timeout: float = 0) -> Response:
        """Sends a request; json is a body that is written as JSON, timeout is in seconds."""
        fields = {"capability": self._capability, "method": method, "url": url}
        headers = dict(headers or {})
        if json is not None:
            body, headers = _write(json, "the body"), {"content-type": "application/json", "accept": "application/json"} | headers
        if headers:
            fields["headers"] = headers
        if body is not None:
            fields["body"] = _payload(body)
        if timeout:
            fields["timeout_ms"] = int(timeout * 1000)
        return Response(self._call._ask("http.fetch", fields), self._call.now)

    def get(self, url: str, **more) -> Response:
        """Fetches a URL."""
        return self.request("GET", url, **more)

    def post(self, url: str, **more) -> Response:
        """Posts json=…, or body=…."""
        return self.request("POST", url, **more)

    def put(self, url: str, **more) -> Response:
        """Puts json=…, or body=…."""
        return self.request("PUT", url, **more)

    def delete(self, url: str, **more) -> Response:
        """Sends DELETE."""
        return self.request("DELETE", url, **more)


class DNS(_Door):
    """Asks resolvers under one dns capability."""

    def resolve(self, name: str, type: str) -> dict:
        """Gives {"rcode", "records": [{"name", "type", "ttl", "value"}]}. NXDOMAIN is an answer; for PTR an address is taken too."""
        value = self._call._ask("dns.resolve", {"capability": self._capability, "name": name, "type": type})
        return value | {"records": value.get("records") or []}


class TCP(_Door):
    """Exchanges bytes under one tcp capability."""

    def exchange(self, address: str, send: str | bytes, *, max_bytes: int = 0, timeout: float = 0) -> tuple[bytes, bool]:
        """Connects to host:port, sends, and reads until the other side closes: what came, and whether there was more than is allowed."""
        fields = {"capability": self._capability, "address": address, "send": _payload(send)}
        if max_bytes:
            fields["max_bytes"] = max_bytes
        if timeout:
            fields["timeout_ms"] = int(timeout * 1000)
        value = self._call._ask("tcp.exchange", fields)
        return _bytes(value.get("received") or {}), value.get("truncated", False)


class SQL(_Door):
    """Runs named statements under one sql capability."""

    def query(self, statement: str, **params) -> dict:
        """Runs a statement of the manifest or of the connector's settings, by name: {"columns", "rows", "affected", "truncated"}."""
        fields = {"capability": self._capability, "statement": statement}
        return self._call._ask("sql.query", fields | {"params": params} if params else fields)


class Mail(_Door):
    """Sends messages under one mail capability."""

    def send(self, to: list[str], subject: str, text: str, *, cc: list[str] | None = None, html: str = "") -> str:
        """Sends a message and gives its Message-ID."""
        fields = {"capability": self._capability, "to": to, "subject": subject, "text": text}
        if cc:
            fields["cc"] = cc
        if html:
            fields["html"] = html
        return self._call._ask("mail.send", fields)["message_id"]


class KV:
    """The connector's own store; the plugin must require the kind kv."""

    def __init__(self, call: Call):
        self._call = call

    def get(self, key: str, default=None):
        """Gives what is kept under a key."""
        answer = self._call._ask("kv.get", {"key": key})
        return answer.get("value") if answer.get("found") else default

    def put(self, key: str, value, ttl: int = 0) -> None:
        """Keeps a value that can be JSON, for ttl seconds or, with 0, for good."""
        self._call._ask("kv.put", {"key": key, "value": value} | ({"ttl_s": ttl} if ttl else {}))

    def delete(self, key: str) -> None:
        """Removes a key, whether it is there or not."""
        self._call._ask("kv.delete", {"key": key})


class Call:
    """One invocation of an action: its input, and the way to the host functions."""

    def __init__(self, document: dict, ask: typing.Callable[[str, str], str]):
        context = document.get("context") or {}
        self.action: str = document["action"]
        self.settings: dict = document.get("settings") or {}  # without the secrets: the host adds them to requests by itself
        self.invocation: str = context.get("invocation", "")
        self.incident: str = context.get("incident", "")
        self.run: str = context.get("run", "")
        self.step: str = context.get("step", "")
        self.deadline: int = context.get("deadline_ms", 0)  # milliseconds that the invocation may take
        self.now: datetime = datetime.fromisoformat(context.get("now", "2026-01-02T03:04:05+00:00")).astimezone(timezone.utc)  # it stands still
        self._through = ask

    def _ask(self, fn: str, request: dict) -> dict:
        text = _write(request, f"{fn}: the request")
        try:
            reply = json.loads(self._through(fn, text))
        except UnicodeEncodeError:  # half of a pair of UTF-16, which Python keeps and UTF-8 cannot say
            reply = json.loads(self._through(fn, text.encode(errors="replace").decode()))
        if reply.get("fault"):
            raise Fault._of(reply["fault"])
        return reply.get("value") or {}

    def http(self, capability: str) -> HTTP:
        """Gives the door of the http capability with this id."""
        return HTTP(self, capability)

    def dns(self, capability: str) -> DNS:
        """Gives the door of the dns capability with this id."""
        return DNS(self, capability)

    def tcp(self, capability: str) -> TCP:
        """Gives the door of the tcp capability with this id."""
        return TCP(self, capability)

    def sql(self, capability: str) -> SQL:
        """Gives the door of the sql capability with this id."""
        return SQL(self, capability)

    def mail(self, capability: str) -> Mail:
        """Gives the door of the mail capability with this id."""
        return Mail(self, capability)

    @property
    def kv(self) -> KV:
        """The connector's own store."""
        return KV(self)

    def log(self, level: str, message: str, **fields) -> None:
        """Writes a line for people; level is debug, info, warn or error. A line that a quota refuses is lost."""
        try:
            self._ask("log.write", {"level": level, "message": message} | ({"fields": fields} if fields else {}))
        except Fault:
            pass

    def info(self, message: str, **fields) -> None:
        """Logs at that level."""
        self.log("info", message, **fields)

    def warn(self, message: str, **fields) -> None:
        """Logs at that level."""
        self.log("warn", message, **fields)

    def artifact(self, kind: str, value: str, verdict: str = "", note: str = "") -> None:
        """Gives the incident a value to act on: kind is ip, domain, url, hash, user, host …; verdict benign, suspicious, malicious or unknown."""
        self._emit("emit.artifact", kind=kind, value=value, verdict=verdict, note=note)

    def evidence(self, name: str, media_type: str, data: str | bytes) -> None:
        """Gives the incident a file."""
        data = data.encode() if isinstance(data, str) else data
        self._emit("emit.evidence", name=name, kind=media_type, data=base64.b64encode(data).decode())

    def finding(self, sentence: str, verdict: str = "", note: str = "") -> None:
        """Gives the incident one sentence."""
        self._emit("emit.finding", value=sentence, verdict=verdict, note=note)

    def _emit(self, fn: str, **fields) -> None:
        self._ask(fn, {name: value for name, value in fields.items() if value})


_ACTIONS: dict[str, tuple[typing.Callable, type]] = _boot.ACTIONS if _boot else {}


def action(function=None, *, name: str = ""):
    """Makes a function an action. Its name is that of the function, with dashes for underscores, or the one given."""
    if function is None:
        return lambda function: action(function, name=name)
    hints = typing.get_type_hints(function)
    hints.pop("return", None)
    wanted = list(hints.values())[1] if len(hints) > 1 else dict
    _ACTIONS[name or function.__name__.replace("_", "-")] = function, wanted
    return function


_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object", type(None): "null"}


def _fit(wanted, value, where: str):
    """Makes of a JSON value what a type hint asks for."""
    origin, of = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is typing.Any or isinstance(wanted, typing.TypeVar):
        return value
    if origin in (typing.Union, types.UnionType):
        rest = [t for t in of if t is not type(None)]
        return None if value is None and len(rest) < len(of) else _fit(rest[0], value, where) if len(rest) == 1 else value
    if origin is typing.Literal:
        return value
    if dataclasses.is_dataclass(wanted) and isinstance(value, dict):
        hints, fields = typing.get_type_hints(wanted), {}
        for f in dataclasses.fields(wanted):
            optional = f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
            if value.get(f.name) is not None or f.name in value and not optional:
                fields[f.name] = _fit(hints[f.name], value[f.name], f"{where}.{f.name}")
            elif not optional:
                raise Fault("invalid", f"{f.name} is missing", where=where)
        return wanted(**fields)
    plain = origin or wanted
    if plain is float and type(value) is int:
        return float(value)
    if dataclasses.is_dataclass(wanted) or plain in _NAMES and type(value) is not plain:
        raise Fault("invalid", f"found {_NAMES.get(type(value), 'null')}, expected {_NAMES.get(plain, 'object')}", where=where)
    if plain is list and of:
        return [_fit(of[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    if plain is dict and of:
        return {k: _fit(of[1], v, f"{where}.{k}") for k, v in value.items()}
    return value


def _perform(document: dict, ask: typing.Callable[[str, str], str]):
    if document["action"] not in _ACTIONS:
        raise Fault("not_found", f"the plugin has no action {document['action']!r}", "mark the function with @action")
    function, wanted = _ACTIONS[document["action"]]
    return function(Call(document, ask), _fit(wanted, document.get("parameters") or {}, "$.parameters"))


def _act(document: dict) -> str:
    try:
        return '{"output":' + _write(_perform(document, _riposte.call), "the result") + "}"
    except Fault as fault:
        return _write({"fault": fault._document()}, "the fault")


def asset(name: str) -> str | bytes:
    """Gives a file of the package: text where it is UTF-8."""
    if _boot:
        if name not in _boot.FILES:
            raise Fault("not_found", f"there is no file {name} in the package")
        return _boot.FILES[name]
    with open(name, "rb") as file:
        data = file.read()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def attempt(function, parameters=None, settings: dict | None = None, stub: typing.Callable[[str, dict], dict] | None = None):
    """Calls an action in a plugin's own unit test, without a sandbox; parameters and result go through JSON as they do in production.

    stub answers the host calls: it gets the name of the function, such as "http.fetch", and the request, and returns the value or raises a Fault.
    Without it each of them is refused. The time of the call is 2026-01-02 03:04:05 UTC.
    """

    def ask(fn: str, request: str) -> str:
        try:
            if stub is None:
                raise Fault("refused", f"{fn} is not stubbed", "give attempt a stub")
            return _write({"value": stub(fn, json.loads(request))}, "the value of the stub")
        except Fault as fault:
            return _write({"fault": fault._document()}, "the fault")

    name = next(name for name, (known, _) in _ACTIONS.items() if known is function)
    document = {"action": name, "parameters": parameters or {}, "settings": settings or {}, "context": {"invocation": "attempt", "deadline_ms": 30_000}}
    return json.loads(_write(_perform(json.loads(_write(document, "the call")), ask), "the result"))


if _boot:
    _boot.ACT = _act
    datetime.strptime("Thu, 01 Jan 1970 00:00:00 GMT", _HTTP_DATE)  # the first time takes long, and is over when an action begins
