//! Random bodies: none causes a panic, and no foreign body is accepted as an answer.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CONFERENCE, ME, SAMPLE, parse};
use crate::dingtalk::wire::{FOREIGN_KEYS, MAX_CONFERENCES};

/// Any JSON, with our own keys among the others so that it comes close.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_i64..8).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!(CONFERENCE)),
        Just(json!(ME)),
    ];
    let key = prop_oneof![
        3 => proptest::sample::select(vec![
            "onGoingConfIdList", "memberModelMap", "unionId", "conferenceId", "userNick", "joinTime", "leaveTime",
            "duration", "attendStatus", "host", "coHost", "deviceType", "errcode", "status", "code",
        ]).prop_map(String::from),
        1 => "\\PC{0,6}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// What must hold of any body: an observation comes only of `{}` or of a body with a known key and no foreign one.
fn only_of_known_bodies(body: &[u8]) -> Result<(), TestCaseError> {
    let Ok(parsed) = parse(body) else { return Ok(()) };
    prop_assert!(parsed.observation.entries.len() <= MAX_CONFERENCES);
    let text = String::from_utf8_lossy(body);
    if text.split_ascii_whitespace().collect::<String>() == "{}" {
        return Ok(());
    }
    // Read once more by another parser, where that one can.
    if let Ok(Value::Object(top)) = serde_json::from_slice::<Value>(body) {
        prop_assert!(top.contains_key("onGoingConfIdList") || top.contains_key("memberModelMap"), "{}", text);
        prop_assert!(!FOREIGN_KEYS.iter().any(|key| top.contains_key(*key)), "{}", text);
    } else {
        prop_assert!(text.contains("onGoingConfIdList") || text.contains("memberModelMap"), "{}", text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn mutated_samples_never_panic_nor_pass_for_nothing(
        changes in proptest::collection::vec((0..SAMPLE.len(), any::<u8>(), 0_u8..4), 1..6)
    ) {
        let mut body = SAMPLE.as_bytes().to_vec();
        for (place, byte, how) in changes {
            let place = place % body.len().max(1);
            match how {
                0 if !body.is_empty() => { body.remove(place); }
                1 => body.insert(place, byte),
                2 => body.truncate(place.max(1)),
                _ => if let Some(old) = body.get_mut(place) { *old = byte },
            }
        }
        only_of_known_bodies(&body)?;
    }

    #[test]
    fn random_json_never_panics_nor_passes_for_nothing(body in any_json()) {
        only_of_known_bodies(body.to_string().as_bytes())?;
    }

    #[test]
    fn random_bytes_never_panic_nor_pass_for_nothing(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        only_of_known_bodies(&body)?;
    }
}
