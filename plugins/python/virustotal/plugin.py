"""Looks addresses, domains and files up in VirusTotal's API v3 (docs.virustotal.com/reference)."""

import ipaddress
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import quote

from riposte import Call, Fault, Response, action


@dataclass
class Stats:
    malicious: int = 0
    suspicious: int = 0
    harmless: int = 0
    undetected: int = 0


@dataclass
class Threat:
    suggested_threat_label: str = ""


@dataclass
class Attributes:
    """What we read of a report, of whatever kind."""

    last_analysis_stats: Stats = field(default_factory=Stats)
    reputation: int = 0
    country: str = ""
    as_owner: str = ""
    asn: int = 0
    network: str = ""
    registrar: str = ""
    creation_date: int = 0  # seconds since 1970
    sha256: str = ""
    meaningful_name: str = ""
    type_description: str = ""
    size: int = 0
    popular_threat_classification: Threat = field(default_factory=Threat)


@dataclass
class Data:
    attributes: Attributes = field(default_factory=Attributes)


@dataclass
class Report:
    data: Data = field(default_factory=Data)


@dataclass
class Subject:
    """What is looked up: kind and value of the artifact, and where it lies in the API and on the web."""

    kind: str
    value: str
    path: str
    page: str


@action
def ip_report(call: Call, p: dict) -> dict:
    try:
        address = ipaddress.ip_address(p["ip"])
    except ValueError:
        address = None
    if address is None or "%" in p["ip"]:
        raise Fault("invalid", "this is no IP address", "give one address, such as 203.0.113.9")
    address = getattr(address, "ipv4_mapped", None) or address
    a, numbers = look(call, Subject("ip", str(address), "ip_addresses", "ip-address"))
    return {"ip": p["ip"]} | numbers | known(country=a.country, as_owner=a.as_owner, asn=a.asn, network=a.network)


@action
def domain_report(call: Call, p: dict) -> dict:
    a, numbers = look(call, Subject("domain", p["domain"].removesuffix(".").lower(), "domains", "domain"))
    return {"domain": p["domain"]} | numbers | known(registrar=a.registrar, created=day(a.creation_date))


@action
def file_report(call: Call, p: dict) -> dict:
    a, numbers = look(call, Subject("hash", p["hash"].lower(), "files", "file"))
    return {"hash": p["hash"]} | numbers | known(sha256=a.sha256, name=a.meaningful_name, file_type=a.type_description, size=a.size,
                                                 threat=a.popular_threat_classification.suggested_threat_label)


def look(call: Call, s: Subject) -> tuple[Attributes, dict]:
    """Fetches the report and tells the incident of the verdict. What VirusTotal does not know has the verdict unknown."""
    base = call.settings.get("base_url", "https://www.virustotal.com/api/v3").rstrip("/")
    name = quote(s.value, safe="$&+:=@")
    answer = call.http("api").get(f"{base}/{s.path}/{name}")
    link = f"https://www.virustotal.com/gui/{s.page}/{name}"
    if answer.status == 404 and is_not_found(answer, s):
        call.artifact(s.kind, s.value, "unknown", "VirusTotal does not know it")
        return Attributes(), vars(Stats()) | {"reputation": 0, "verdict": "unknown", "link": link}
    a = answer.json(Report).data.attributes
    stats = a.last_analysis_stats
    word = verdict(stats, call.settings.get("malicious_from", 3))
    call.artifact(s.kind, s.value, word, note(stats))
    return a, vars(stats) | {"reputation": a.reputation, "verdict": word, "link": link}


def is_not_found(answer: Response, s: Subject) -> bool:
    """Tells that VirusTotal does not know the subject from all else that has this status, such as a wrong address of the API."""
    try:
        error = json.loads(answer.text)["error"]
        return error["code"] == "NotFoundError" and s.value in error["message"].lower()
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def verdict(n: Stats, malicious_from: int) -> str:
    """Gives a word for the numbers."""
    if n.malicious >= max(malicious_from, 1):
        return "malicious"
    if n.malicious + n.suspicious > 0:
        return "suspicious"
    return "benign" if n.harmless > 0 else "unknown"


def note(n: Stats) -> str:
    """Gives the numbers for people."""
    return f"VirusTotal: {n.malicious} of {sum(vars(n).values())} engines call it malicious, {n.suspicious} suspicious"


def day(seconds: int) -> str:
    """Gives a date of the API as YYYY-MM-DD; empty for none."""
    return datetime.fromtimestamp(seconds, timezone.utc).date().isoformat() if seconds > 0 else ""


def known(**fields) -> dict:
    """Leaves out what is empty."""
    return {name: value for name, value in fields.items() if value}
