//! The one form of an error.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What sort of a fault it is. The set is closed: plugins, host, journal, API and command line use the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The input breaks a schema or a rule; repeating it is useless.
    Invalid,
    /// A right, a guard or a policy forbids it.
    Refused,
    /// The other side did not accept our credentials.
    Unauthorized,
    /// What was asked for does not exist.
    NotFound,
    /// The state changed, or exists already.
    Conflict,
    /// A size limit was passed.
    TooLarge,
    /// The other side or a quota says: later.
    RateLimited,
    /// The other side could not be reached or is failing.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// A person or the server's stop ended it.
    Cancelled,
    /// The guest used up fuel, memory, stack, output or host calls.
    Limit,
    /// The guest crashed, or returned what cannot be understood.
    Trap,
    /// A replay asked for something else than its tape holds.
    Diverged,
    /// A write may or may not have happened; a person must look.
    InDoubt,
    /// A defect of the host.
    Internal,
    /// The action says that it did not succeed. Kinds that this kit does not know are read as this one.
    #[serde(other)]
    Failed,
}

/// An error that says what it means for those who must deal with it. It crosses every wall unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// A place: a JSON path, or file:line:column.
    #[serde(default, rename = "where", skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// The same call may succeed later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// How many milliseconds the other side asked us to wait.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after_ms: i64,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl Fault {
    /// Makes a fault. Timeouts, rate limits and unavailability are retryable.
    pub fn new(kind: Kind, message: impl Into<String>) -> Fault {
        let retryable = matches!(kind, Kind::Timeout | Kind::RateLimited | Kind::Unavailable);
        Fault { kind, message: message.into(), hint: String::new(), place: String::new(), retryable, retry_after_ms: 0 }
    }

    /// Adds what a person can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = hint.into();
        self
    }

    /// Adds the place, such as `$.parameters.ip`.
    pub fn at(mut self, place: impl Into<String>) -> Fault {
        self.place = place.into();
        self
    }

    /// Adds how long to wait before the next try.
    pub fn retry_after(mut self, wait: Duration) -> Fault {
        self.retryable = true;
        self.retry_after_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        let kind = serde_json::to_value(self.kind).unwrap_or_default();
        write!(f, "{}: {}", kind.as_str().unwrap_or_default(), self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// A text says that the action failed, and why.
impl From<&str> for Fault {
    fn from(message: &str) -> Fault {
        Fault::new(Kind::Failed, message)
    }
}

/// A text says that the action failed, and why.
impl From<String> for Fault {
    fn from(message: String) -> Fault {
        Fault::new(Kind::Failed, message)
    }
}

/// An error of another kind says that the action failed, unless there is a fault within.
impl From<Box<dyn std::error::Error>> for Fault {
    fn from(error: Box<dyn std::error::Error>) -> Fault {
        match error.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(other) => Fault::new(Kind::Failed, other.to_string()),
        }
    }
}
