"""Turns addresses into names and names into addresses."""

import ipaddress

from riposte import Call, Fault, action

CONFIRM = 4  # so many names of an address are checked forwards


@action
def reverse(call: Call, p: dict) -> dict:
    address = parse(p["ip"])
    if address is None:
        raise Fault("invalid", "this is no IP address", "give one address, such as 203.0.113.9", where="$.parameters.ip")
    names = values(resolve(call, str(address), "PTR"), "PTR")
    confirmed = any(leads_back(call, name, address) for name in names[:CONFIRM])
    return {"ip": p["ip"], "names": names, "forward_confirmed": confirmed}


@action
def forward(call: Call, p: dict) -> dict:
    record_type = p.get("type") or "A"
    answer = resolve(call, p["name"].removesuffix("."), record_type)
    return {"name": p["name"], "type": record_type, "exists": answer["rcode"] == "NOERROR", "records": answer["records"],
            "addresses": values(answer, "A") + values(answer, "AAAA")}


def parse(text: str):
    """Reads an address, an IPv4 address within IPv6 as that; None if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else getattr(address, "ipv4_mapped", None) or address


def resolve(call: Call, name: str, record_type: str) -> dict:
    """Asks, and takes a name that does not exist for an answer."""
    answer = call.dns("resolver").resolve(name, record_type)
    if answer["rcode"] not in ("NOERROR", "NXDOMAIN"):
        raise Fault("unavailable", f"the name server answered {answer['rcode']} for {record_type} {name}", "check the connector's server")
    return answer


def values(answer: dict, record_type: str) -> list[str]:
    """Lists the data of the records of one type, each once; other records of the answer are aliases on the way."""
    return list(dict.fromkeys(r["value"] for r in answer["records"] if r["type"] == record_type))


def leads_back(call: Call, name: str, address) -> bool:
    """Says whether a name has the address. The name is the address owner's claim: what goes wrong with it only means that it is not confirmed."""
    record_type = "A" if address.version == 4 else "AAAA"
    try:
        return any(parse(v) == address for v in values(resolve(call, name, record_type), record_type))
    except Fault as fault:
        call.warn(f"the name {name} cannot be checked: {fault}")
        return False
