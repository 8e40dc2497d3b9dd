//! HTTP under a capability of the manifest.

use crate::call::decode;
use crate::{base64, host, time, Call, Fault, Kind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes in JSON: as text where they are UTF-8.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Payload {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    base64: String,
}

impl Payload {
    pub(crate) fn of(bytes: &[u8]) -> Payload {
        match std::str::from_utf8(bytes) {
            Ok(text) => Payload { text: text.to_owned(), base64: String::new() },
            Err(_) => Payload { text: String::new(), base64: base64::encode(bytes) },
        }
    }

    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, Fault> {
        if self.base64.is_empty() {
            return Ok(self.text.into_bytes());
        }
        base64::decode(&self.base64).ok_or_else(|| Fault::new(Kind::Internal, "the host answered bytes that are not base64"))
    }
}

/// Sends requests under one http capability.
#[derive(Clone, Copy)]
pub struct Http<'a> {
    pub(crate) call: &'a Call,
    pub(crate) capability: &'a str,
}

/// A request; `Request { url, ..Request::default() }` is a GET.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    /// Zero is as long as the invocation may take.
    pub timeout: Duration,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Request { method: "GET", url: "", headers: &[], body: &[], timeout: Duration::ZERO }
    }
}

#[derive(Serialize)]
struct WireRequest<'a> {
    capability: &'a str,
    method: &'a str,
    url: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Payload>,
    timeout_ms: u64,
}

#[derive(Deserialize)]
struct WireResponse {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Payload,
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json"), ("accept", "application/json")];

impl Http<'_> {
    /// Sends a request. Any status is a response; a fault means that there was none.
    pub fn send(&self, request: Request) -> Result<Response, Fault> {
        let answer: WireResponse = self.call.ask(
            "http.fetch",
            host::http_fetch,
            &WireRequest {
                capability: self.capability,
                method: request.method,
                url: request.url,
                headers: request.headers.iter().copied().collect(),
                body: (!request.body.is_empty()).then(|| Payload::of(request.body)),
                timeout_ms: u64::try_from(request.timeout.as_millis()).unwrap_or(u64::MAX),
            },
        )?;
        Ok(Response { status: answer.status, headers: answer.headers, body: answer.body.into_bytes()?, now: time::rfc3339(&self.call.context.now).unwrap_or(0) })
    }

    /// Fetches a URL.
    pub fn get(&self, url: &str) -> Result<Response, Fault> {
        self.send(Request { url, ..Request::default() })
    }

    /// Sends DELETE without a body.
    pub fn delete(&self, url: &str) -> Result<Response, Fault> {
        self.send(Request { method: "DELETE", url, ..Request::default() })
    }

    /// Posts a value as JSON.
    pub fn post_json(&self, url: &str, value: &impl Serialize) -> Result<Response, Fault> {
        self.send_json("POST", url, value)
    }

    /// Sends a value as JSON with any method.
    pub fn send_json(&self, method: &str, url: &str, value: &impl Serialize) -> Result<Response, Fault> {
        let body = serde_json::to_vec(value).map_err(|err| Fault::new(Kind::Invalid, format!("the body cannot be written as JSON: {err}")))?;
        self.send(Request { method, url, headers: JSON, body: &body, ..Request::default() })
    }

    /// Posts fields that are encoded already, as application/x-www-form-urlencoded.
    pub fn post_form(&self, url: &str, fields: &str) -> Result<Response, Fault> {
        self.send(Request { method: "POST", url, headers: &[("content-type", "application/x-www-form-urlencoded")], body: fields.as_bytes(), ..Request::default() })
    }
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    headers: BTreeMap<String, String>,
    now: i64,
}

impl Response {
    /// A header by its name in any case, empty if it is not there; several values are joined by ", ".
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(&name.to_ascii_lowercase()).map_or("", String::as_str)
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Reads the JSON of an answer with a status of 2xx.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        self.expect()?;
        let strange = |err: String| {
            Fault::new(Kind::Unavailable, format!("the other side answered something else than the expected JSON: {err}")).hint("check the address in the connector's settings")
        };
        let text = std::str::from_utf8(&self.body).map_err(|err| strange(err.to_string()))?;
        decode("$", text).map_err(|fault| strange(format!("{}: {}", fault.place, fault.message)))
    }

    /// Takes a status of 2xx only. Any other is the fault that it stands for: 401 and 403 unauthorized, 404 not found, 409 conflict, 413 too
    /// large, 429 rate limited with the wait that Retry-After asks for (RFC 9110, section 10.2.3), 5xx unavailable, others failed.
    pub fn expect(&self) -> Result<&Response, Fault> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let kind = match self.status {
            401 | 403 => Kind::Unauthorized,
            404 => Kind::NotFound,
            408 => Kind::Timeout,
            409 => Kind::Conflict,
            413 => Kind::TooLarge,
            429 => Kind::RateLimited,
            500.. => Kind::Unavailable,
            _ => Kind::Failed,
        };
        let mut fault = Fault::new(kind, format!("the other side answered {}{}", self.status, excerpt(&self.body)));
        if kind == Kind::Unauthorized {
            fault = fault.hint("check the credentials in the connector's settings, and what they are allowed to do");
        }
        fault.retry_after_ms = self.retry_after();
        Err(fault)
    }

    /// Reads Retry-After in milliseconds; a date counts from the server's own Date, or else from the time of the call.
    fn retry_after(&self) -> i64 {
        let value = self.header("retry-after");
        if let Ok(seconds) = value.parse::<i32>() {
            return i64::from(seconds).max(0) * 1000;
        }
        match time::http_date(value) {
            Some(until) => (until - time::http_date(self.header("date")).unwrap_or(self.now)).max(0),
            None => 0,
        }
    }
}

/// The beginning of a body, for a person to read.
fn excerpt(body: &[u8]) -> String {
    const MOST: usize = 200;
    let head: String = body[..body.len().min(4 * MOST)].utf8_chunks().map(|chunk| chunk.valid()).collect();
    let text = head.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return text;
    }
    if text.len() <= MOST {
        return format!(": {text}");
    }
    let end = (0..=MOST).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!(": {} …", &text[..end])
}
