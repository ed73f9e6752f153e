//! The title of a meeting in a stored event.
//!
//! Guards: a message of a webhook with `titles = false` says no title. Deliberately not here: which titles events have
//! (`store`), the sentences (`sentence`).

/// Removes the title of the meeting from a stored event that becomes a message.
pub fn remove(body: &mut Vec<u8>) {
    let Ok(mut event) = serde_json::from_slice::<serde_json::Value>(body) else { return };
    let meeting = event.pointer_mut("/data/meeting").and_then(serde_json::Value::as_object_mut);
    if meeting.is_some_and(|meeting| meeting.remove("title").is_some()) {
        *body = event.to_string().into_bytes();
    }
}
