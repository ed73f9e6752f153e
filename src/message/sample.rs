//! One event of every type, as it is sent: what templates are tried with before anything happens.
//!
//! Guards: there is a sample for every type; an integration test holds them against what the program makes.
//! Deliberately not here: the catalogue (`presence::event`), which this floor does not know.

/// The bodies, one a line, in the catalogue's order.
const BODIES: &str = include_str!("samples.jsonl");

/// All of them.
pub fn bodies() -> impl Iterator<Item = &'static str> {
    BODIES.lines()
}

/// The body of an event of this type.
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
    fn a_sample_is_found_by_its_whole_type() {
        assert_eq!(bodies().count(), 14);
        for body in bodies() {
            let event: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(super::body(event["type"].as_str().unwrap()), Some(body));
        }
        assert_eq!(body("meeting"), None);
    }
}
