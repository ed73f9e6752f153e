//! Records of the API, each with its JSON Schema from the same lines.
//!
//! Guards: a field that is answered is described, and the other way round. Not here: the records (the files beside it).

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::time::Timestamp;

/// A type that describes itself as JSON Schema (draft 2020-12, as `OpenAPI` 3.1 uses it).
pub(crate) trait Schema {
    fn schema() -> Value;
}

/// An instant, as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At(pub(crate) Timestamp);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.rfc3339().serialize(to)
    }
}

impl Schema for At {
    fn schema() -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

/// The body of an event, as it was signed and sent.
#[derive(Debug)]
pub(crate) struct EventBody;

impl Schema for EventBody {
    fn schema() -> Value {
        json!({ "type": "object", "description": "The body of the event, as webhooks get it." })
    }
}

macro_rules! plain {
    ($($type:ty => $name:literal),*) => {
        $(impl Schema for $type {
            fn schema() -> Value {
                json!({ "type": $name })
            }
        })*
    };
}
plain!(String => "string", &'static str => "string", bool => "boolean", i64 => "integer", u64 => "integer", f64 => "number");

impl<T: Schema> Schema for Vec<T> {
    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Schema> Schema for Option<T> {
    fn schema() -> Value {
        json!({ "anyOf": [T::schema(), { "type": "null" }] })
    }
}

/// A schema with a sentence about it.
pub(super) fn described(mut schema: Value, about: &str) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), about.trim().into());
    }
    schema
}

/// Defines records: every field is always present.
macro_rules! records {
    ($($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[doc = $about])*
            #[derive(Debug, serde::Serialize)]
            pub(crate) struct $name { $($(#[doc = $doc])* pub(crate) $field: $type,)* }

            impl $crate::web::api::schema::Schema for $name {
                fn schema() -> serde_json::Value {
                    use $crate::web::api::schema::{Schema, described};
                    let mut properties = serde_json::Map::new();
                    $(properties.insert(
                        stringify!($field).trim_start_matches("r#").to_owned(),
                        described(<$type as Schema>::schema(), concat!($($doc),*)),
                    );)*
                    serde_json::json!({
                        "type": "object",
                        "description": concat!($($about),*).trim(),
                        "required": [$(stringify!($field).trim_start_matches("r#")),*],
                        "properties": properties,
                    })
                }
            }
        )*
    };
}
pub(super) use records;
