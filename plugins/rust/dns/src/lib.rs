//! The plugin that turns addresses into names and names into addresses, in Rust.

use riposte_pdk::{action, Call, DnsAnswer, DnsRecord, Fault, Kind, Result};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How many names of an address are checked forwards.
const CONFIRM: usize = 4;

#[derive(Deserialize)]
struct ReverseParams {
    ip: String,
}

#[derive(Serialize)]
struct Names {
    ip: String,
    names: Vec<String>,
    forward_confirmed: bool,
}

#[derive(Deserialize)]
struct ForwardParams {
    name: String,
    #[serde(rename = "type", default = "address_record")]
    record_type: String,
}

fn address_record() -> String {
    "A".to_owned()
}

#[derive(Serialize)]
struct Records {
    name: String,
    #[serde(rename = "type")]
    record_type: String,
    exists: bool,
    records: Vec<DnsRecord>,
    addresses: Vec<String>,
}

action!("reverse", reverse);

fn reverse(call: &Call, p: ReverseParams) -> Result<Names> {
    let address: IpAddr = p.ip.parse().map_err(|_| {
        Fault::new(Kind::Invalid, "this is no IP address").hint("give one address, such as 203.0.113.9").at("$.parameters.ip")
    })?;
    let address = address.to_canonical();
    let names = values(&resolve(call, &address.to_string(), "PTR")?, "PTR");
    let forward_confirmed = names.iter().take(CONFIRM).any(|name| leads_back(call, name, address));
    Ok(Names { ip: p.ip, names, forward_confirmed })
}

action!("forward", forward);

fn forward(call: &Call, p: ForwardParams) -> Result<Records> {
    let answer = resolve(call, p.name.strip_suffix('.').unwrap_or(&p.name), &p.record_type)?;
    let addresses = [values(&answer, "A"), values(&answer, "AAAA")].concat();
    Ok(Records { name: p.name, record_type: p.record_type, exists: answer.rcode == "NOERROR", records: answer.records, addresses })
}

/// Asks, and takes a name that does not exist for an answer.
fn resolve(call: &Call, name: &str, record_type: &str) -> Result<DnsAnswer> {
    let answer = call.resolve("resolver", name, record_type)?;
    match answer.rcode.as_str() {
        "NOERROR" | "NXDOMAIN" => Ok(answer),
        other => Err(Fault::new(Kind::Unavailable, format!("the name server answered {other} for {record_type} {name}")).hint("check the connector's server")),
    }
}

/// The data of the records of one type; other records of the answer are aliases on the way.
fn values(answer: &DnsAnswer, record_type: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for record in &answer.records {
        if record.record_type == record_type && !values.contains(&record.value) {
            values.push(record.value.clone());
        }
    }
    values
}

/// Says whether a name has the address. The name is the address owner's claim: what goes wrong with it only means that it is not confirmed.
fn leads_back(call: &Call, name: &str, address: IpAddr) -> bool {
    let record_type = if address.is_ipv6() { "AAAA" } else { "A" };
    match resolve(call, name, record_type) {
        Ok(answer) => values(&answer, record_type).iter().any(|value| value.parse() == Ok(address)),
        Err(fault) => {
            call.warn(&format!("the name {name} cannot be checked: {fault}"));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riposte_pdk::{json, try_call, Reply, Value};

    /// Knows one address, and a name that leads elsewhere.
    fn world(_: &str, request: Value) -> Reply {
        let records = match (request["name"].as_str(), request["type"].as_str()) {
            (Some("203.0.113.66"), Some("PTR")) => json!([{"name": "x", "type": "PTR", "ttl": 1, "value": "elsewhere.example"}, {"name": "x", "type": "PTR", "ttl": 1, "value": "host.example"}]),
            (Some("elsewhere.example"), Some("A")) => json!([{"name": "x", "type": "A", "ttl": 1, "value": "192.0.2.1"}]),
            (Some("host.example"), Some("A")) => json!([{"name": "x", "type": "A", "ttl": 1, "value": "203.0.113.66"}]),
            _ => return Fault::new(Kind::Unavailable, "nobody answers").into(),
        };
        json!({"rcode": "NOERROR", "records": records}).into()
    }

    #[test]
    fn a_name_that_leads_back_confirms() {
        let got = try_call(reverse, json!({}), json!({"ip": "::ffff:203.0.113.66"}), world);
        assert_eq!(got, Ok(json!({"ip": "::ffff:203.0.113.66", "names": ["elsewhere.example", "host.example"], "forward_confirmed": true})));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let fault = try_call(reverse, json!({}), json!({"ip": "fe80::1%eth0"}), world).unwrap_err();
        assert_eq!((fault.kind, fault.place.as_str()), (Kind::Invalid, "$.parameters.ip"));
    }
}
