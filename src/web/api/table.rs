//! All operations of the API.
//!
//! Guards: this table makes the routes, the checks of parameters and the `OpenAPI` document. Not here: answering (the files
//! beside it).

use std::future::ready;

use serde_json::Value;

use super::operation::Operation;
use super::query::Parameter;
use super::schema::Schema;
use super::{events, lists, now, operator};
use crate::config::Scope;

/// Every `GET` but the stream.
pub(super) static OPERATIONS: [Operation; 10] = {
    use Parameter::{After, Event, Group, Limit, Org, Since, State, Type, Until, User};
    [
        Operation {
            path: "/api/v1/now",
            id: "now",
            about: "Who is in a meeting now, who is free, and who is not known.",
            scope: Scope::Board,
            parameters: &[Org, User, Group, After, Limit],
            schema: schema_of::<now::NowAnswer>,
            run: |context| Box::pin(now::now(context)),
        },
        Operation {
            path: "/api/v1/users",
            id: "users",
            about: "The users who are or were watched.",
            scope: Scope::Viewer,
            parameters: &[Org, User, Group, After, Limit],
            schema: schema_of::<now::UserPage>,
            run: |context| Box::pin(now::users(context)),
        },
        Operation {
            path: "/api/v1/visits",
            id: "visits",
            about: "Visits, in the order in which they were recorded: who was in which meeting, from when to when.",
            scope: Scope::Viewer,
            parameters: &[Org, User, Group, Since, Until, After, Limit],
            schema: schema_of::<lists::VisitPage>,
            run: |context| Box::pin(lists::visits(context)),
        },
        Operation {
            path: "/api/v1/meetings",
            id: "meetings",
            about: "Meetings, in the order in which a watched user was first seen in them.",
            scope: Scope::Viewer,
            parameters: &[Org, User, Group, Since, Until, After, Limit],
            schema: schema_of::<lists::MeetingPage>,
            run: |context| Box::pin(lists::meetings(context)),
        },
        Operation {
            path: "/api/v1/meetings/{id}",
            id: "meeting",
            about: "A meeting, the visits in it, and when its users were not polled meanwhile.",
            scope: Scope::Viewer,
            parameters: &[Org],
            schema: schema_of::<lists::MeetingDetails>,
            run: |context| Box::pin(lists::meeting(context)),
        },
        Operation {
            path: "/api/v1/events",
            id: "events",
            about: "Events, oldest first, with the bytes that webhooks get.",
            scope: Scope::Viewer,
            parameters: &[After, Org, User, Group, Type, Since, Until, Limit],
            schema: schema_of::<events::EventPage>,
            run: |context| Box::pin(events::events(context)),
        },
        Operation {
            path: "/api/v1/webhooks",
            id: "webhooks",
            about: "Webhooks, with their queues and why they are blocked.",
            scope: Scope::Operator,
            parameters: &[],
            schema: schema_of::<operator::WebhookList>,
            run: |context| Box::pin(operator::webhooks(context)),
        },
        Operation {
            path: "/api/v1/webhooks/{name}/deliveries",
            id: "deliveries",
            about: "Deliveries to a webhook, newest first, each with its requests.",
            scope: Scope::Operator,
            parameters: &[State, Event, After, Limit],
            schema: schema_of::<operator::DeliveryPage>,
            run: |context| Box::pin(operator::deliveries(context)),
        },
        Operation {
            path: "/api/v1/health",
            id: "health",
            about: "Whether the daemon works, with reasons, as `presenced status` says it.",
            scope: Scope::Operator,
            parameters: &[],
            schema: schema_of::<operator::Health>,
            run: |context| Box::pin(ready(operator::health(&context))),
        },
        Operation {
            path: "/api/v1/budget",
            id: "budget",
            about: "Calls to DingTalk by organisation and month, newest month first.",
            scope: Scope::Operator,
            parameters: &[Org, Limit],
            schema: schema_of::<operator::MonthList>,
            run: |context| Box::pin(operator::budget(context)),
        },
    ]
};

fn schema_of<T: Schema>() -> Value {
    T::schema()
}
