//! Ids and names: of users, conferences, organisations, webhooks, events and visits.
//!
//! Guards: an id is parsed once, where it enters the program, and is valid everywhere else. A clone shares the text.
//! Deliberately not here: how event and visit ids are made (`presence::fingerprint`).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Maximum length of an id, in bytes. DingTalk's ids have 24 to 33.
pub const MAX_ID_BYTES: usize = 128;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is longer than [`MAX_ID_BYTES`].
    #[error("is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// The character is not allowed, because it is unsafe in a header, a URL or a log line.
    #[error("contains {0:?}, which is not allowed there")]
    Character(char),
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses and checks a text.
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

            /// The id as text.
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

id_type!(
    /// A user within one developer organisation (DingTalk "unionId").
    UnionId,
    |c| !c.is_control() && !c.is_whitespace()
);
id_type!(
    /// A meeting (DingTalk "conferenceId", 24 hex digits in every documented example).
    ConferenceId,
    |c| !c.is_control() && !c.is_whitespace()
);
id_type!(
    /// The name of an organisation in the config; `default` if the config has only one.
    OrgName,
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
);
id_type!(
    /// The name of a webhook in the config. It is sent in a header.
    WebhookName,
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
);
id_type!(
    /// The id of an event: `evt_` and base32. It has no dot, because Standard Webhooks signs `id.timestamp.body`.
    EventId,
    |c| c.is_ascii_alphanumeric() || c == '_'
);
id_type!(
    /// The id of a visit: `vis_` and base32.
    VisitId,
    |c| c.is_ascii_alphanumeric() || c == '_'
);

impl OrgName {
    /// The name of an organisation without a name in the config.
    pub fn default_name() -> Self {
        Self("default".into())
    }
}

/// A user in one organisation. The same unionId in two organisations is two users.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The organisation.
    pub org: OrgName,
    /// The user in the organisation.
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
    fn an_invalid_id_is_refused_with_its_reason() {
        assert_eq!(UnionId::parse(""), Err(IdError::Empty));
        assert_eq!(UnionId::parse("a b"), Err(IdError::Character(' ')));
        assert_eq!(UnionId::parse(&"x".repeat(129)), Err(IdError::TooLong));
        assert_eq!(WebhookName::parse("crm/eu"), Err(IdError::Character('/')));
        assert_eq!(EventId::parse("evt_a.b"), Err(IdError::Character('.')));
        assert!(UnionId::parse("2iPOLbpUNMLzB5LuwggiiqiPwiEiE").is_ok());
    }
}
