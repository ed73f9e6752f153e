//! The names things go by: people, conferences, organisations, webhooks, events, visits.
//!
//! Guards: a name is parsed once, where it enters; past that nobody checks it again. Cloning one is a counter.
//! Deliberately not here: how event and visit ids are made (`presence::event`, `presence::visit`).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest id taken from anywhere, in bytes. DingTalk's are 24 to 33; four times that is generous.
pub const MAX_ID_BYTES: usize = 128;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Over [`MAX_ID_BYTES`].
    #[error("is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// A character that would be trouble in a header, a URL or a log line.
    #[error("holds {0:?}, which is not allowed there")]
    Character(char),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses one.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if text.is_empty() {
                    return Err(IdError::Empty);
                }
                if text.len() > MAX_ID_BYTES {
                    return Err(IdError::TooLong);
                }
                let allowed: fn(char) -> bool = $allowed;
                match text.chars().find(|&c| !allowed(c)) {
                    Some(bad) => Err(IdError::Character(bad)),
                    None => Ok(Self(text.into())),
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// A person as one developer organisation sees them (DingTalk "unionId").
    UnionId,
    |c| !c.is_control() && !c.is_whitespace()
);
name!(
    /// A meeting (DingTalk "conferenceId", 24 hex digits in every documented example).
    ConferenceId,
    |c| !c.is_control() && !c.is_whitespace()
);
name!(
    /// An organisation, by the operator's name for it; `default` when there is one.
    OrgName,
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
);
name!(
    /// A webhook, by the operator's name for it. It travels in a header.
    WebhookName,
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
);
name!(
    /// An event's id: `evt_` and base32. Never holds a dot (Standard Webhooks signs `id.timestamp.body`).
    EventId,
    |c| c.is_ascii_alphanumeric() || c == '_'
);
name!(
    /// A visit's id: `vis_` and base32.
    VisitId,
    |c| c.is_ascii_alphanumeric() || c == '_'
);

impl OrgName {
    /// The name an organisation has when the config names none.
    pub fn default_name() -> Self {
        Self("default".into())
    }
}

/// Who somebody is: the same unionId under two organisations is two people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The organisation.
    pub org: OrgName,
    /// The person in it.
    pub union_id: UnionId,
}

impl fmt::Display for Identity {
    /// `org/unionId`, as in an event's `subject`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.union_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_its_reason() {
        assert_eq!(UnionId::parse(""), Err(IdError::Empty));
        assert_eq!(UnionId::parse("a b"), Err(IdError::Character(' ')));
        assert_eq!(UnionId::parse(&"x".repeat(129)), Err(IdError::TooLong));
        assert_eq!(WebhookName::parse("crm/eu"), Err(IdError::Character('/')));
        assert_eq!(EventId::parse("evt_a.b"), Err(IdError::Character('.')));
        assert!(UnionId::parse("2iPOLbpUNMLzB5LuwggiiqiPwiEiE").is_ok());
    }
}
