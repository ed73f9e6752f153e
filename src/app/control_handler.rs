//! Answers the requests of the control socket.
//!
//! Guards: every request gets an answer; a refusal says what it means for the caller. Not here: the socket (`control`), the
//! work (`tasks`).

use std::sync::Arc;

use tokio::sync::watch;

use super::maintenance;
use super::reload::{Refusal, ReloadHandle};
use super::status::StatusSource;
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::control::explain::ExplainReport;
use crate::control::webhook::{ReplayRequest, Replayed, TestReport, WebhookRequest, WebhookResponse};
use crate::control::{self, Advice, PollOutcome, PollReport, Request, Response};
use crate::ids::{Identity, WebhookName};
use crate::policy::delivery::Outcome;
use crate::policy::operator_action::OperatorAction;
use crate::policy::pace::PollDecision;
use crate::store::Store;
use crate::store::outbox::replay::Selection;
use crate::tasks::operator::{Operator, OperatorError, Tested};
use crate::tasks::poller::report::{Explanation, Found, NoPoll, PollResult, PollerHandle};
use crate::web;

/// What requests are answered with.
#[derive(Debug)]
pub(super) struct ControlHandler {
    /// The active config.
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) store: Store,
    pub(super) poller: PollerHandle,
    pub(super) operator: Operator,
    pub(super) reload: Option<ReloadHandle>,
    pub(super) status: StatusSource,
    /// The page, if there is a listener.
    pub(super) web: Option<web::State>,
}

impl ControlHandler {
    pub(super) async fn answer(self: Arc<Self>, request: Request) -> Response {
        match request {
            Request::Explain { org, union_id } => self.explain(Identity { org, union_id }).await,
            Request::Forget { who } => maintenance::forget(&self.store, &self.config(), &who).await,
            Request::Page => self.page(),
            Request::Prune => maintenance::prune(&self.store, &self.config()).await,
            Request::Ping => Response::Pong {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                database: Some(self.store.path().to_owned()),
                time_zone: Some(self.config().time_zone.name().to_owned()),
            },
            Request::Poll { who, dry_run } => self.poll(who, dry_run).await,
            Request::Reload => self.reload().await,
            Request::Status => Response::Status(Box::new(self.status.report())),
            Request::Webhook(asked) => match self.webhook(asked).await {
                Ok(done) => Response::Webhook(done),
                Err(refused) => refused,
            },
        }
    }

    fn page(&self) -> Response {
        let refused = |message: String| Response::Refused { advice: Advice::Failed, message };
        match self.web.as_ref().map(web::State::page_link) {
            Some(Ok(url)) => Response::Page { url },
            Some(Err(error)) => refused(format!("cannot create a code: {error}")),
            None => refused("there is no page: `listen` in [http] is off".to_owned()),
        }
    }

    async fn reload(&self) -> Response {
        let Some(reload) = &self.reload else {
            let message = "this daemon cannot reload its config".to_owned();
            return Response::Refused { advice: Advice::Failed, message };
        };
        match reload.reload().await {
            Ok(report) => Response::Reloaded(Box::new(report)),
            Err(Refusal { advice, message }) => Response::Refused { advice, message },
        }
    }

    async fn poll(&self, who: String, dry_run: bool) -> Response {
        let started = Stopwatch::start();
        match self.poller.poll(who, dry_run).await {
            Ok(report) => {
                let took = started.elapsed();
                Response::Poll(Box::new(poll_report(report, &self.config(), took.as_millis())))
            }
            Err(refused) => {
                let advice = match refused {
                    NoPoll::NoMatch(_) => Advice::Nothing,
                    NoPoll::Later(_) => Advice::TryLater,
                    NoPoll::NotRecorded(_) => Advice::Failed,
                };
                Response::Refused { advice, message: refused.to_string() }
            }
        }
    }

    async fn explain(&self, who: Identity) -> Response {
        match self.poller.explain(who.clone()).await {
            Ok(Explanation { due, decided, next, instead }) => {
                let (PollDecision::Poll(at, why) | PollDecision::Replan(at, why)) = next;
                let config = self.config();
                let user = config.users.iter().find(|user| user.identity == who);
                Response::Explained(Box::new(ExplainReport {
                    who: user.map_or_else(|| who.union_id.to_string(), |user| user.name.clone()),
                    org: who.org.to_string(),
                    due,
                    is_poll: at != due || matches!(next, PollDecision::Poll(..)),
                    instead: instead.map(str::to_owned),
                    decided,
                    factors: why.into(),
                }))
            }
            Err(message) => Response::Refused { advice: Advice::Nothing, message },
        }
    }

    async fn webhook(&self, asked: WebhookRequest) -> Result<WebhookResponse, Response> {
        match asked {
            WebhookRequest::Test { webhook } => {
                let name = self.named(&webhook)?;
                let tested = self.operator.test(&name).await.map_err(|error| refused(&error))?;
                Ok(WebhookResponse::Tested(Box::new(test_report(webhook, tested))))
            }
            WebhookRequest::Pause { webhook } => self.change(webhook, OperatorAction::Pause).await,
            WebhookRequest::Resume { webhook } => self.change(webhook, OperatorAction::Resume).await,
            WebhookRequest::Enable { webhook } => self.change(webhook, OperatorAction::Enable).await,
            WebhookRequest::Snapshot { webhook } => {
                let name = self.named(&webhook)?;
                let people = self.operator.snapshot(&name).await.map_err(|error| refused(&error))?;
                Ok(WebhookResponse::Snapshots { webhook, people })
            }
            WebhookRequest::Replay(asked) => self.replay(asked).await,
        }
    }

    async fn change(&self, webhook: String, change: OperatorAction) -> Result<WebhookResponse, Response> {
        let name = self.named(&webhook)?;
        let changed = self.operator.change(&name, change).await.map_err(|error| refused(&error))?;
        let snapshots = match change {
            OperatorAction::Enable => {
                Some(self.operator.snapshot(&name).await.map_err(|error| refused(&error))?)
            }
            OperatorAction::Pause | OperatorAction::Resume | OperatorAction::Answered => None,
        };
        let (was, state) = (changed.was.name().to_owned(), changed.now.name().to_owned());
        Ok(WebhookResponse::Changed { webhook, was, state, snapshots })
    }

    async fn replay(&self, asked: ReplayRequest) -> Result<WebhookResponse, Response> {
        let ReplayRequest { webhooks, events, never_meant, since, until, state } = asked;
        let strict = !webhooks.is_empty();
        let webhooks = if strict {
            webhooks.iter().map(|webhook| self.named(webhook)).collect::<Result<_, _>>()?
        } else {
            self.config().webhooks.iter().map(|webhook| webhook.name.clone()).collect()
        };
        let state = match state.as_deref() {
            None => None,
            Some("dead") => Some("dead"),
            Some("delivered") => Some("delivered"),
            Some("expired") => Some("expired"),
            Some(other) => {
                let message = format!("`{other}` is not the state of a finished delivery");
                return Err(Response::Refused { advice: Advice::Usage, message });
            }
        };
        let selection = Selection { webhooks, events, never_meant, since, until, state };
        let counts = self.operator.replay(selection, strict).await.map_err(|error| refused(&error))?;
        let counts = counts
            .into_iter()
            .map(|(webhook, count)| Replayed { webhook, again: count.again, waiting: count.waiting })
            .collect();
        Ok(WebhookResponse::Replayed { counts })
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    fn named(&self, webhook: &str) -> Result<WebhookName, Response> {
        let config = self.config();
        let mut all = config.webhooks.iter().map(|one| &one.name);
        all.find(|name| name.as_str() == webhook).cloned().ok_or_else(|| Response::Refused {
            advice: Advice::Nothing,
            message: format!("the running daemon has no webhook `{webhook}`"),
        })
    }
}

fn refused(error: &OperatorError) -> Response {
    let advice = match error {
        OperatorError::NoWebhook(_) => Advice::Nothing,
        OperatorError::Disabled(_) | OperatorError::Store(_) => Advice::Failed,
        OperatorError::Stopping(_) => Advice::TryLater,
    };
    Response::Refused { advice, message: error.to_string() }
}

fn test_report(webhook: String, tested: Tested) -> TestReport {
    let Tested { event_id, standing, trial, took_ms } = tested;
    TestReport {
        webhook,
        state: standing.name().to_owned(),
        event_id,
        headers: trial.headers,
        body: String::from_utf8_lossy(&trial.body).into_owned(),
        status: trial.answer.status,
        answered: trial.answer.excerpt,
        error: trial.answer.error,
        took_ms,
        outcome: match trial.answer.outcome {
            Outcome::Accepted => "accepted",
            Outcome::Refused => "refused",
            Outcome::Unavailable => "unavailable",
            Outcome::Gone => "gone",
        }
        .to_owned(),
    }
}

fn poll_report(report: PollResult, config: &Config, took_ms: u128) -> PollReport {
    let PollResult { identity, name, recorded, found } = report;
    let api_base = config.org(&identity.org).map(|org| org.api_base.clone()).unwrap_or_default();
    PollReport {
        request: control::request_line(&api_base, identity.union_id.as_str()),
        org: identity.org.to_string(),
        name,
        union_id: identity.union_id.to_string(),
        took_ms: u64::try_from(took_ms).unwrap_or(u64::MAX),
        recorded,
        outcome: match found {
            Found::Answer { observation, events, .. } => {
                PollOutcome::Seen { observation, events: Some(events) }
            }
            Found::Failure(error) => PollOutcome::Failed((&error).into()),
        },
    }
}
