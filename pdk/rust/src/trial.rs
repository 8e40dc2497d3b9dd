//! Trials of actions without a sandbox.

use crate::call::answer;
use crate::{Call, Fault, Kind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{json, Value};
use std::cell::RefCell;
use std::rc::Rc;

/// What a host function answers: a value or a fault.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
}

impl From<Value> for Reply {
    fn from(value: Value) -> Reply {
        match serde_json::value::to_raw_value(&value) {
            Ok(value) => Reply { value: Some(value), fault: None },
            Err(err) => Fault::new(Kind::Internal, err.to_string()).into(),
        }
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Reply {
        Reply { value: None, fault: Some(fault) }
    }
}

/// Answers the host calls of a trial.
type Answers = dyn FnMut(&str, Value) -> Reply;

pub(crate) struct Stub(Rc<RefCell<Answers>>);

impl Stub {
    pub(crate) fn answer(&self, function: &str, request: &[u8]) -> Vec<u8> {
        let request = serde_json::from_slice(request).unwrap_or_default();
        serde_json::to_vec(&(self.0.borrow_mut())(function, request)).unwrap_or_default()
    }
}

/// Calls an action in a plugin's own unit test, without a sandbox: settings and parameters go through JSON as they do in production, host calls
/// to `host`, which gets the name of the function, such as `http.fetch`, and its request. The time of the call is 2026-01-02 03:04:05 UTC.
///
/// ```
/// use riposte_pdk::{json, try_call, Call, Fault, Value};
///
/// fn who_is(call: &Call, p: Value) -> Result<Value, Fault> {
///     call.http("people").get(&format!("https://people.corp.test/{}", p["login"].as_str().unwrap_or_default()))?.json()
/// }
///
/// let found = try_call(who_is, json!({}), json!({"login": "zoe"}), |function, request| {
///     assert_eq!((function, &request["url"]), ("http.fetch", &json!("https://people.corp.test/zoe")));
///     json!({"status": 200, "body": {"text": "{\"name\":\"Zoe\"}"}}).into()
/// });
/// assert_eq!(found, Ok(json!({"name": "Zoe"})));
/// ```
pub fn try_call<P, R>(
    handler: fn(&Call, P) -> Result<R, Fault>,
    settings: impl Serialize,
    parameters: impl Serialize,
    host: impl FnMut(&str, Value) -> Reply + 'static,
) -> Result<Value, Fault>
where
    P: DeserializeOwned,
    R: Serialize,
{
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Outcome {
        Output(Value),
        Fault(Fault),
    }
    let input = json!({"action": "try", "settings": settings, "parameters": parameters,
        "context": {"invocation": "try", "now": "2026-01-02T03:04:05Z", "deadline_ms": 30_000}});
    let result = answer(handler, input.to_string().as_bytes(), Some(Stub(Rc::new(RefCell::new(host)))));
    match serde_json::from_slice(&result) {
        Ok(Outcome::Output(value)) => Ok(value),
        Ok(Outcome::Fault(fault)) => Err(fault),
        Err(err) => Err(Fault::new(Kind::Internal, err.to_string())),
    }
}
