//! The control API of a running simulator: `/_simulator/...`.
//!
//! Guards: only this prefix is special; every other path answers as the real host does. Access to the port is enough to
//! control the simulator, which listens on loopback by default. Not here: the faults (`faults`).
//!
//! | call | does |
//! |---|---|
//! | `GET /_simulator/people` | lists the people |
//! | `GET /_simulator/inside` | lists who is in which meetings |
//! | `GET /_simulator/changes?after=MS&until=MS` | lists the true joins and leaves |
//! | `GET /_simulator/counts` | returns the counts of calls, refusals and tokens |
//! | `POST /_simulator/faults` | adds faults: `[[fault]]` as in a scenario |
//! | `DELETE /_simulator/faults` | removes all faults |
//! | `PUT /_simulator/knobs` | replaces the answer options: the keys of `[knobs]` |
//! | `POST /_simulator/revoke-tokens` | invalidates all tokens |
//! | `PUT /_simulator/push` | replaces the settings of the push gateway: the keys of `[push]` |
//! | `POST /_simulator/push/disconnect` | disconnects all push connections |
//! | `POST /_simulator/push/abort` | breaks them |
//! | `POST /_simulator/push/suite-ticket` | pushes a new suite ticket, which voids the old one |

use std::collections::BTreeMap;

use axum::http::Method;
use axum::http::request::Parts;

use super::counters::Counts;
use super::faults::Answer;
use super::http::parameter;
use super::json::{Object, array, quote};
use super::push;
use super::reader::{parse_faults, parse_options, parse_push};
use super::state::Shared;
use super::types::Change;
use crate::time::Timestamp;

/// The prefix of all control paths.
pub(super) const PREFIX: &str = "/_simulator/";

pub(super) fn answer(shared: &Shared, parts: &Parts, body: &[u8]) -> Answer {
    let what = parts.uri.path().trim_start_matches(PREFIX);
    let text = String::from_utf8_lossy(body);
    let done = || Answer::json(200, Object::new().raw("ok", "true").end());
    let wrong = |why: &str| Answer::json(400, Object::new().text("error", why).end());
    match (&parts.method, what) {
        (&Method::GET, "people") => Answer::json(200, people(shared)),
        (&Method::GET, "inside") => Answer::json(200, inside(shared)),
        (&Method::GET, "counts") => Answer::json(200, counts(&shared.counters().counts)),
        (&Method::GET, "changes") => Answer::json(200, changes(shared, parts.uri.query())),
        (&Method::POST, "revoke-tokens") => {
            shared.tokens().revoke_all();
            done()
        }
        (&Method::POST, "push/disconnect" | "push/abort") => {
            push::server::end_all(shared, what == "push/abort");
            done()
        }
        (&Method::POST, "push/suite-ticket") => {
            push::server::renew_suite_tickets(shared);
            done()
        }
        (&Method::DELETE, "faults") => {
            shared.faults().clear();
            done()
        }
        (&Method::POST, "faults") => match parse_faults(&text, &shared.world) {
            Ok(faults) => {
                for fault in faults {
                    shared.faults().add(fault);
                }
                done()
            }
            Err(error) => wrong(&error.to_string()),
        },
        (&Method::PUT, "knobs") => match parse_options(&text) {
            Ok(options) => {
                shared.set_options(options);
                done()
            }
            Err(error) => wrong(&error.to_string()),
        },
        (&Method::PUT, "push") => match parse_push(&text) {
            Ok(options) => {
                push::server::with_queue(shared, |queue| queue.set_options(options));
                done()
            }
            Err(error) => wrong(&error.to_string()),
        },
        _ => Answer::json(404, Object::new().text("error", "there is no such control").end()),
    }
}

fn people(shared: &Shared) -> String {
    array(
        shared
            .world
            .people()
            .iter()
            .map(|person| Object::new().text("unionId", &person.union_id).text("nick", &person.nick).end()),
    )
}

fn inside(shared: &Shared) -> String {
    let inside = shared.world.inside(shared.clock.now());
    inside
        .iter()
        .fold(Object::new(), |object, (union_id, conferences)| {
            object.raw(union_id, &array(conferences.iter().map(|id| quote(id))))
        })
        .end()
}

fn changes(shared: &Shared, query: Option<&str>) -> String {
    let instant = |name| {
        let ms = parameter(query, name).and_then(|text| text.parse().ok());
        ms.map(Timestamp::from_ms)
    };
    let after = instant("after").unwrap_or(Timestamp::from_ms(shared.world.origin().as_ms() - 1));
    let now = shared.clock.now();
    // The future of a looping scenario never ends.
    let until = instant("until").unwrap_or(now).min(now);
    array(shared.world.changes(after, until).into_iter().map(|change| {
        let word = match change.change {
            Change::Joined => "joined",
            Change::Left => "left",
            Change::Kicked => "kicked",
            Change::Ended => "ended",
        };
        Object::new()
            .number("at", change.at.as_ms())
            .text("unionId", &change.union_id)
            .text("conferenceId", &change.conference_id)
            .text("change", word)
            .end()
    }))
}

fn counts(counts: &Counts) -> String {
    let map = |map: &BTreeMap<String, u64>| {
        map.iter().fold(Object::new(), |object, (name, count)| object.raw(name, &count.to_string())).end()
    };
    Object::new()
        .raw("calls", &map(&counts.calls))
        .raw("answers", &map(&counts.answers))
        .raw("refusals", &map(&counts.refusals))
        .raw("busiestSecond", &map(&counts.busiest_second))
        .raw("busiestWindow", &map(&counts.busiest_window))
        .raw("push", &map(&counts.push))
        .raw("tokens", &counts.tokens.to_string())
        .raw("charged", &counts.charged.to_string())
        .end()
}
