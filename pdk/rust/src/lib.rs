//! The kit for Riposte plugins in Rust. An action is a function, and a line that exports it under the action's name:
//!
//! ```
//! use riposte_pdk::{action, Call, Fault};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Settings { url: String }
//!
//! #[derive(Deserialize)]
//! struct Params { ip: String }
//!
//! #[derive(Serialize)]
//! struct Outcome { present: bool }
//!
//! action!("block-ip", block);
//!
//! fn block(call: &Call, p: Params) -> Result<Outcome, Fault> {
//!     let settings: Settings = call.settings()?;
//!     let body = serde_json::json!({"ip": p.ip});
//!     call.http("api").post_json(&format!("{}/block", settings.url), &body)?.expect()?;
//!     Ok(Outcome { present: true })
//! }
//! ```
//!
//! A plugin is a library of the type `cdylib`, built for `wasm32-unknown-unknown`. Built for any other target the same functions run in
//! ordinary unit tests through [`try_call`], with answers of the test's own.

mod base64;
mod call;
mod doors;
mod fault;
mod host;
mod http;
mod place;
mod time;
mod trial;

pub use base64::serde_bytes as bytes;
pub use call::{Call, Context};
pub use doors::{DnsAnswer, DnsRecord, Level, Mail, Received, Rows, Verdict};
pub use fault::{Fault, Kind};
pub use http::{Http, Request, Response};
pub use serde_json::{json, Value};
pub use trial::{try_call, Reply};

/// What an action gives.
pub type Result<T> = std::result::Result<T, Fault>;

/// Exports a function as an action: `action!("block-ip", block)`. The function takes a [`Call`] and its parameters, any type that can be
/// read from JSON, and gives a result, any type that can be written as JSON, or a [`Fault`].
#[macro_export]
macro_rules! action {
    ($name:literal, $handler:path) => {
        const _: () = {
            #[cfg_attr(target_family = "wasm", export_name = $name)]
            extern "C" fn exported() -> i32 {
                $crate::run($handler)
            }
            #[cfg(not(target_family = "wasm"))]
            const _: extern "C" fn() -> i32 = exported;
        };
    };
}

pub use call::run;
