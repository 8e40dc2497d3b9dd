//! One invocation of an action.

use crate::host::{self, Door};
use crate::trial::Stub;
use crate::{place, Fault, Http, Kind, Reply};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a call works for. It is part of the input, so it is the same in a replay.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Context {
    pub invocation: String,
    pub incident: String,
    pub run: String,
    pub step: String,
    /// The time of the invocation (RFC 3339). It does not advance; [`Call::clock`] does.
    pub now: String,
    /// How many milliseconds the invocation may take.
    pub deadline_ms: i64,
}

/// One invocation of an action: its input, and the way to the host functions.
pub struct Call {
    pub action: String,
    pub context: Context,
    settings: Option<Box<RawValue>>,
    pub(crate) stub: Option<Stub>,
}

#[derive(Deserialize)]
struct Input {
    action: String,
    parameters: Option<Box<RawValue>>,
    settings: Option<Box<RawValue>>,
    #[serde(default)]
    context: Context,
}

/// Reads the input, calls the action's function, and gives its result or its fault to the host. [`action!`](crate::action) calls it.
#[doc(hidden)]
pub fn run<P: DeserializeOwned, R: Serialize>(handler: fn(&Call, P) -> Result<R, Fault>) -> i32 {
    if host::warming() {
        return 0;
    }
    std::panic::set_hook(Box::new(|panic| host::error(&panic.to_string().replace('\n', " "))));
    host::output(&answer(handler, &host::input(), None))
}

/// Gives the JSON of a result: `{"output": …}` or `{"fault": …}`.
pub(crate) fn answer<P: DeserializeOwned, R: Serialize>(handler: fn(&Call, P) -> Result<R, Fault>, input: &[u8], stub: Option<Stub>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Outcome<R> {
        Output(R),
        Fault(Fault),
    }
    let fault = match call(handler, input, stub) {
        Ok(value) => match serde_json::to_vec(&Outcome::Output(value)) {
            Ok(result) => return result,
            Err(err) => Fault::new(Kind::Failed, format!("the result cannot be written as JSON: {err}")),
        },
        Err(fault) => fault,
    };
    serde_json::to_vec(&Outcome::<()>::Fault(fault)).unwrap_or_default()
}

fn call<P: DeserializeOwned, R>(handler: fn(&Call, P) -> Result<R, Fault>, input: &[u8], stub: Option<Stub>) -> Result<R, Fault> {
    let input: Input = serde_json::from_slice(input)
        .map_err(|err| Fault::new(Kind::Invalid, format!("the input of the action is not a call: {err}")).hint("start the plugin with riposte"))?;
    let parameters = decode("$.parameters", input.parameters.as_deref().map_or("{}", RawValue::get))?;
    handler(&Call { action: input.action, context: input.context, settings: input.settings, stub }, parameters)
}

/// Reads JSON; a fault names the place within it.
pub(crate) fn decode<T: DeserializeOwned>(within: &str, json: &str) -> Result<T, Fault> {
    serde_json::from_str(json).map_err(|err| {
        let (message, place) = place::of(&err, json);
        Fault::new(Kind::Invalid, message).at(format!("{within}{place}"))
    })
}

impl Call {
    /// Reads the connector's settings. Secrets are not among them: the host adds them to requests by itself.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        decode("$.settings", self.settings.as_deref().map_or("{}", RawValue::get))
    }

    /// The door of the http capability with this id.
    pub fn http<'a>(&'a self, capability: &'a str) -> Http<'a> {
        Http { call: self, capability }
    }

    /// The time since 1970 in nanoseconds. It starts at the time of the invocation, and is the same in a replay.
    pub fn clock(&self) -> u64 {
        host::clock()
    }

    /// Fills a slice with random bytes; in a replay they are the same.
    pub fn random(&self, into: &mut [u8]) {
        host::random(into);
    }

    /// Calls a host function.
    pub(crate) fn ask<T: DeserializeOwned>(&self, function: &str, through: Door, request: &impl Serialize) -> Result<T, Fault> {
        let request = serde_json::to_vec(request).map_err(|err| Fault::new(Kind::Invalid, format!("{function}: the request cannot be written as JSON: {err}")))?;
        let reply = match &self.stub {
            Some(stub) => stub.answer(function, &request),
            None => host::exchange(through, &request),
        };
        let strange = |err| Fault::new(Kind::Internal, format!("{function}: the reply of the host cannot be read: {err}"));
        match serde_json::from_slice::<Reply>(&reply).map_err(strange)? {
            Reply { fault: Some(fault), .. } => Err(fault),
            Reply { value, .. } => serde_json::from_str(value.as_deref().map_or("null", RawValue::get)).map_err(strange),
        }
    }
}
