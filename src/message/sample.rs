//! One sample event of each type, as it is sent. The config check renders templates with them.
//!
//! Guards: every type has a sample; an integration test compares the samples with real events. Deliberately not here:
//! the list of types (`presence::event`), which this module must not use.

/// One body a line, in the order of the documented types.
const BODIES: &str = include_str!("samples.jsonl");

/// All samples.
pub fn bodies() -> impl Iterator<Item = &'static str> {
    BODIES.lines()
}

/// The sample of this type.
pub fn body(event_type: &str) -> Option<&'static str> {
    bodies().find(|body| {
        body.split_once(r#""type":""#)
            .is_some_and(|(_, rest)| rest.strip_prefix(event_type).is_some_and(|rest| rest.starts_with('"')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_name_of_a_type_finds_its_sample() {
        assert_eq!(bodies().count(), 14);
        for body in bodies() {
            let event: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(super::body(event["type"].as_str().unwrap()), Some(body));
        }
        assert_eq!(body("meeting"), None);
    }
}
