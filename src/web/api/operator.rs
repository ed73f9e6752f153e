//! `/api/v1/webhooks`, its deliveries, `/api/v1/health` and `/api/v1/budget`: for operators.
//!
//! Guards: no URL and no secret of a webhook is answered. Not here: actions on webhooks (`page`).

use super::operation::{Answer, Context, written};
use super::schema::{At, records};
use crate::store::outbox::reader::{AttemptRow, DeliveryQuery, DeliveryRow};
use crate::web::response::not_found;

records! {
    /// The webhooks.
    WebhookList {
        /// The webhooks of the config, and those that still have something to send.
        webhooks: Vec<WebhookState>,
    }
    /// A webhook and its queue.
    WebhookState {
        /// Its name in the config.
        webhook: String,
        /// Whether the config has it.
        configured: bool,
        /// `up`, `down`, `disabled` or `paused`.
        state: String,
        /// Why some or all of its deliveries are not sent at this moment; null: all are.
        blocked: Option<String>,
        /// The same in words.
        why: Option<String>,
        /// When the next attempt follows.
        next_at: Option<At>,
        /// Since when it is down.
        down_since_at: Option<At>,
        /// Deliveries that wait or are in flight.
        waiting: i64,
        /// When the oldest event among them was recorded.
        oldest_waiting_at: Option<At>,
        /// Dead letters.
        dead: i64,
    }
    /// A page of deliveries.
    DeliveryPage {
        /// The deliveries.
        deliveries: Vec<Delivery>,
        /// `after` of the next page; null on the last one.
        next_after: Option<i64>,
    }
    /// What became of an event at a webhook.
    Delivery {
        /// The event's id.
        id: String,
        /// The event's sequence.
        sequence: i64,
        /// The event's type.
        r#type: String,
        /// The user that the event is about.
        who: Option<String>,
        /// The event's organisation.
        org: Option<String>,
        /// `pending`, `delivered`, `dead` or `expired`.
        state: String,
        /// `event`, `replay` or `test`.
        trigger: String,
        /// Requests so far.
        attempts: i64,
        /// HTTP status of the last one.
        last_status: Option<i64>,
        /// Why the last one failed.
        last_error: Option<String>,
        /// When the event was recorded.
        recorded_at: At,
        /// While it is pending: when the next attempt follows.
        next_at: Option<At>,
        /// When it ended.
        finished_at: Option<At>,
        /// Each request, oldest first.
        requests: Vec<Attempt>,
    }
    /// A request to the webhook.
    Attempt {
        /// The n-th of the delivery.
        nth: i64,
        /// When it was sent.
        sent_at: At,
        /// Seconds until its result.
        took_s: f64,
        /// HTTP status; null: no answer.
        status: Option<i64>,
        /// Why it failed, with the beginning of the answer; null: accepted.
        error: Option<String>,
    }
    /// Whether the daemon works.
    Health {
        /// Version of the daemon.
        version: &'static str,
        /// Whether the database takes writes and at least one organisation is polled.
        ready: bool,
        /// The checks.
        checks: Vec<Check>,
        /// Organisations that are not polled.
        degraded: Vec<Degraded>,
    }
    /// One check.
    Check {
        /// `database`, `token` or `poll`.
        name: &'static str,
        /// The organisation, if it is about one.
        org: Option<String>,
        /// Whether it passes.
        ok: bool,
        /// The reason.
        reason: String,
    }
    /// An organisation that is not polled.
    Degraded {
        /// The organisation.
        org: String,
        /// The reason.
        reason: String,
        /// Since when.
        since_at: Option<At>,
        /// When the next attempt follows.
        next_at: Option<At>,
    }
    /// Calls to DingTalk.
    MonthList {
        /// The months, newest first.
        budget: Vec<CallsOfMonth>,
    }
    /// Calls of an organisation in a month.
    CallsOfMonth {
        /// The organisation.
        org: String,
        /// The calendar month, as `2026-11`.
        month: String,
        /// Calls charged, those reserved for the next minutes included.
        used: i64,
        /// The limit; null: none.
        call_limit: Option<i64>,
        /// Calls expected by the end of the month.
        projected: Option<i64>,
        /// Calls refused by a rate limit, not charged.
        throttled: i64,
    }
}

/// The webhooks, by name.
pub(crate) async fn all_webhooks(
    state: &crate::web::State,
) -> Result<Vec<WebhookState>, crate::store::StoreError> {
    let reader = &state.0.outbox;
    let configured = state.webhooks();
    let mut names = reader.known().await?;
    names.extend(configured.iter().map(ToString::to_string));
    names.sort();
    names.dedup();
    let blocked = state.blocked_webhooks().await?;
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let row = reader.webhook(&name).await?;
        let blocked = blocked.iter().find(|blocked| blocked.webhook == name);
        all.push(WebhookState {
            configured: configured.iter().any(|own| own.as_str() == name),
            state: row.state,
            blocked: blocked.map(|blocked| blocked.reason.to_owned()),
            why: blocked.and_then(|blocked| blocked.why.clone()).or(row.why),
            next_at: blocked.and_then(|blocked| blocked.next).or(row.probe_at).map(At),
            down_since_at: row.down_since.map(At),
            waiting: row.waiting,
            oldest_waiting_at: row.oldest_waiting.map(At),
            dead: row.dead,
            webhook: name,
        });
    }
    Ok(all)
}

/// The answer of `/api/v1/webhooks`.
pub(super) async fn webhooks(context: Context) -> Answer {
    written(&WebhookList { webhooks: all_webhooks(&context.state).await? })
}

/// The answer of `/api/v1/webhooks/{name}/deliveries`.
pub(super) async fn deliveries(context: Context) -> Answer {
    let (state, query) = (&context.state, &context.query);
    let is_known = state.webhooks().iter().any(|name| name.as_str() == context.id)
        || state.0.outbox.known().await?.contains(&context.id);
    if !is_known {
        return Err(not_found("no webhook has this name"));
    }
    let wanted = DeliveryQuery {
        webhook: Some(context.id),
        state: query.state,
        event: query.event.clone(),
        before: query.after,
        limit: query.limit() + 1,
    };
    let mut rows = state.0.outbox.deliveries(&wanted).await?;
    // Newest first; the one too many shows that another page follows.
    rows.reverse();
    let more = rows.len() > query.places();
    rows.truncate(query.places());
    let next_after = rows.last().map(|row| row.delivery_id).filter(|_| more);
    let mut page = Vec::with_capacity(rows.len());
    for row in rows {
        let attempts = state.0.outbox.attempts(row.delivery_id).await?;
        page.push(delivery(row, attempts));
    }
    written(&DeliveryPage { deliveries: page, next_after })
}

fn delivery(row: DeliveryRow, attempts: Vec<AttemptRow>) -> Delivery {
    let attempt = |row: AttemptRow| Attempt {
        nth: row.nth,
        sent_at: At(row.sent),
        took_s: row.took_s,
        status: row.status,
        error: row.error,
    };
    Delivery {
        id: row.event_id,
        sequence: row.sequence,
        r#type: row.event_type,
        who: row.name,
        org: row.org,
        state: row.state,
        trigger: row.trigger,
        attempts: row.attempts,
        last_status: row.last_status,
        last_error: row.last_error,
        recorded_at: At(row.recorded),
        next_at: row.next_at.map(At),
        finished_at: row.finished.map(At),
        requests: attempts.into_iter().map(attempt).collect(),
    }
}

/// The answer of `/api/v1/health`.
pub(super) fn health(context: &Context) -> Answer {
    let readiness = context.state.0.health.readiness(context.state.0.clock.now());
    let checks = readiness.checks.into_iter().map(|check| Check {
        name: check.name,
        org: check.org.map(|org| org.to_string()),
        ok: check.ok,
        reason: check.reason,
    });
    let degraded = readiness.degraded.into_iter().map(|degraded| Degraded {
        org: degraded.org.to_string(),
        reason: degraded.reason,
        since_at: degraded.since.map(At),
        next_at: degraded.next.map(At),
    });
    written(&Health {
        version: env!("CARGO_PKG_VERSION"),
        ready: readiness.ready,
        checks: checks.collect(),
        degraded: degraded.collect(),
    })
}

/// The answer of `/api/v1/budget`.
pub(super) async fn budget(context: Context) -> Answer {
    let rows = context.state.0.history.budget(context.query.limit()).await?;
    let wanted = |org: &str| context.query.org.as_deref().is_none_or(|own| own == org);
    let months = rows.into_iter().filter(|row| wanted(&row.org)).map(|row| CallsOfMonth {
        org: row.org,
        month: row.month,
        used: row.used,
        call_limit: row.call_limit,
        projected: row.projected,
        throttled: row.throttled,
    });
    written(&MonthList { budget: months.collect() })
}
