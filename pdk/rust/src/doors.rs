//! The host functions besides HTTP.

use crate::call::decode;
use crate::http::Payload;
use crate::{base64, host, Call, Fault, Kind};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::time::Duration;

/// What name servers answer. A name that does not exist is an answer too: the code is then NXDOMAIN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DnsAnswer {
    pub rcode: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub records: Vec<DnsRecord>,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsRecord {
    pub name: String,
    #[serde(rename = "type")]
    pub record_type: String,
    /// In seconds.
    pub ttl: u32,
    pub value: String,
}

/// What the other side of a TCP connection sent. `truncated` says that there was more than the grant allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub truncated: bool,
}

/// The rows that a statement gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rows {
    #[serde(default, deserialize_with = "null_as_default")]
    pub columns: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub rows: Vec<Map<String, Value>>,
    #[serde(default)]
    pub affected: i64,
    #[serde(default)]
    pub truncated: bool,
}

/// A message. The sender is the connector's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mail {
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// What is thought of an artifact or a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Benign,
    Suspicious,
    Malicious,
    Unknown,
}

pub(crate) fn null_as_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Serialize)]
struct KvRequest<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    ttl_s: u64,
}

#[derive(Deserialize)]
struct KvAnswer {
    found: bool,
    value: Option<Box<RawValue>>,
}

#[derive(Default, Serialize)]
struct Emission<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

impl Call {
    /// Asks under the dns capability with this id for the records of a name; for PTR an address is taken too.
    pub fn resolve(&self, capability: &str, name: &str, record_type: &str) -> Result<DnsAnswer, Fault> {
        #[derive(Serialize)]
        struct Request<'a> {
            capability: &'a str,
            name: &'a str,
            #[serde(rename = "type")]
            record_type: &'a str,
        }
        self.ask("dns.resolve", host::dns_resolve, &Request { capability, name, record_type })
    }

    /// Connects under the tcp capability with this id to host:port, sends, and reads until the other side closes.
    pub fn exchange(&self, capability: &str, address: &str, send: &[u8]) -> Result<Received, Fault> {
        #[derive(Serialize)]
        struct Request<'a> {
            capability: &'a str,
            address: &'a str,
            send: Payload,
        }
        #[derive(Deserialize)]
        struct Answer {
            received: Payload,
            #[serde(default)]
            truncated: bool,
        }
        let answer: Answer = self.ask("tcp.exchange", host::tcp_exchange, &Request { capability, address, send: Payload::of(send) })?;
        Ok(Received { bytes: answer.received.into_bytes()?, truncated: answer.truncated })
    }

    /// Runs under the sql capability with this id a statement of the manifest or of the connector's settings, by name.
    pub fn query(&self, capability: &str, statement: &str, params: &impl Serialize) -> Result<Rows, Fault> {
        #[derive(Serialize)]
        struct Request<'a, P> {
            capability: &'a str,
            statement: &'a str,
            params: &'a P,
        }
        self.ask("sql.query", host::sql_query, &Request { capability, statement, params })
    }

    /// Sends a message under the mail capability with this id, and gives its Message-ID.
    pub fn send_mail(&self, capability: &str, mail: &Mail) -> Result<String, Fault> {
        #[derive(Serialize)]
        struct Request<'a> {
            capability: &'a str,
            #[serde(flatten)]
            mail: &'a Mail,
        }
        #[derive(Deserialize)]
        struct Answer {
            message_id: String,
        }
        let answer: Answer = self.ask("mail.send", host::mail_send, &Request { capability, mail })?;
        Ok(answer.message_id)
    }

    /// Reads what is kept under a key in the connector's own store; the plugin must require the kind kv.
    pub fn kv_get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        let answer: KvAnswer = self.ask("kv.get", host::kv_get, &KvRequest { key, value: None, ttl_s: 0 })?;
        match answer.value {
            Some(value) if answer.found => decode(key, value.get()).map(Some),
            _ => Ok(None),
        }
    }

    /// Keeps a value under a key for a while, in whole seconds, or with a ttl of zero for good.
    pub fn kv_put(&self, key: &str, value: &impl Serialize, ttl: Duration) -> Result<(), Fault> {
        let value = serde_json::value::to_raw_value(value).map_err(|err| Fault::new(Kind::Invalid, format!("{key} cannot be written as JSON: {err}")))?;
        self.ask("kv.put", host::kv_put, &KvRequest { key, value: Some(&value), ttl_s: ttl.as_secs() }).map(|_: IgnoredAny| ())
    }

    /// Forgets a key, whether it is there or not.
    pub fn kv_delete(&self, key: &str) -> Result<(), Fault> {
        self.ask("kv.delete", host::kv_delete, &KvRequest { key, value: None, ttl_s: 0 }).map(|_: IgnoredAny| ())
    }

    /// Writes a line for people; fields is a JSON object or null. A line that a quota refuses is lost, which is no concern of the plugin.
    pub fn log(&self, level: Level, message: &str, fields: Value) {
        let _: Result<IgnoredAny, Fault> = self.ask("log.write", host::log_write, &entry(level, message, &fields));
    }

    /// Logs at that level.
    pub fn info(&self, message: &str) {
        self.log(Level::Info, message, Value::Null);
    }

    /// Logs at that level.
    pub fn warn(&self, message: &str) {
        self.log(Level::Warn, message, Value::Null);
    }

    /// Gives the incident a value to act on: kind is ip, domain, url, hash, user, host …
    pub fn artifact(&self, kind: &str, value: &str, verdict: Option<Verdict>, note: &str) -> Result<(), Fault> {
        self.emit("emit.artifact", host::emit_artifact, &Emission { kind, value, verdict, note, ..Emission::default() })
    }

    /// Gives the incident a file.
    pub fn evidence(&self, name: &str, media_type: &str, data: &[u8]) -> Result<(), Fault> {
        self.emit("emit.evidence", host::emit_evidence, &Emission { name, kind: media_type, data: Some(base64::encode(data)), ..Emission::default() })
    }

    /// Gives the incident one sentence.
    pub fn finding(&self, sentence: &str, verdict: Option<Verdict>, note: &str) -> Result<(), Fault> {
        self.emit("emit.finding", host::emit_finding, &Emission { value: sentence, verdict, note, ..Emission::default() })
    }

    fn emit(&self, function: &str, through: host::Door, emission: &Emission) -> Result<(), Fault> {
        self.ask(function, through, emission).map(|_: IgnoredAny| ())
    }
}

fn entry<'a>(level: Level, message: &'a str, fields: &'a Value) -> impl Serialize + 'a {
    #[derive(Serialize)]
    struct Entry<'a> {
        level: Level,
        message: &'a str,
        #[serde(skip_serializing_if = "Value::is_null")]
        fields: &'a Value,
    }
    Entry { level, message, fields }
}
