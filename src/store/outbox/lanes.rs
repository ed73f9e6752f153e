//! Statements that move lanes on or remove them, shared by `claim` and `turn`.
//!
//! Guards: each finds its lanes by their key. Deliberately not here: when they run (`claim`, `turn`).

/// Removes the lanes in `?1` in which no delivery waits.
pub(super) const REMOVE_EMPTY_LANES: &str = "\
DELETE FROM lanes \
WHERE (webhook, person_id, org) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each(?1)) \
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.webhook = lanes.webhook \
        AND deliveries.person_id = lanes.person_id AND deliveries.org = lanes.org AND deliveries.state = 'pending')";

/// Frees the lanes in `?1`, ready when their next delivery is.
pub(super) const MOVE_LANES_ON: &str = "\
UPDATE lanes SET lease_ms = NULL, ready_ms = \
    (SELECT next_ms FROM deliveries WHERE deliveries.webhook = lanes.webhook \
        AND deliveries.person_id = lanes.person_id AND deliveries.org = lanes.org AND deliveries.state = 'pending' \
     ORDER BY (trigger <> 'event'), sequence LIMIT 1) \
WHERE (webhook, person_id, org) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each(?1))";
