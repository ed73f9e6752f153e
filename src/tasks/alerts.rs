//! System events: alerts that fire or resolve, and gaps in which an organisation was not polled.
//!
//! Guards: an alert is emitted when it fires and when it resolves, also across a restart; an event's id contains the
//! stored count of earlier ones, so two are never emitted at once. Not here: when an alert fires (each task decides).

use std::collections::BTreeSet;

use crate::ids::OrgName;
use crate::presence::event::EventType;
use crate::presence::system::{self, AlertName, GapCause};
use crate::store::gaps::Because;
use crate::store::{Outgoing, Store, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::{Subscription, recipients};

/// An event that concerns no single user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemEvent {
    /// An alert fired or resolved.
    Alert {
        /// `None`: an alert of the daemon itself.
        org: Option<OrgName>,
        /// Name of the alert.
        name: AlertName,
        /// `false`: resolved.
        firing: bool,
        /// Text for the operator, without secrets.
        summary: String,
        /// When it changed.
        at: Timestamp,
    },
    /// An organisation was not polled.
    Gap {
        /// Name of the organisation.
        org: OrgName,
        /// Time of the newest good poll before the gap.
        from: Timestamp,
        /// Time of the first good poll after it.
        to: Timestamp,
        /// The cause as events name it.
        cause: GapCause,
        /// The cause as the history names it.
        because: Because,
    },
}

/// Which alerts fire.
#[derive(Clone, Debug, Default)]
pub struct AlertState {
    firing: BTreeSet<(Option<OrgName>, AlertName)>,
}

impl AlertState {
    /// Loads the alerts that fired when the daemon ended.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        const ALL: [AlertName; 7] = [
            AlertName::Budget,
            AlertName::Auth,
            AlertName::Upstream,
            AlertName::Config,
            AlertName::Webhook,
            AlertName::Database,
            AlertName::Push,
        ];
        let stored = store.alerts().firing().await?;
        let known = |(org, name): (Option<OrgName>, String)| {
            ALL.into_iter().find(|known| known.name() == name).map(|known| (org, known))
        };
        Ok(Self { firing: stored.into_iter().filter_map(known).collect() })
    }

    /// Sets one alert: a summary fires it, `None` resolves it. Returns the event to emit, if the alert changed.
    pub fn set(
        &mut self,
        org: Option<&OrgName>,
        name: AlertName,
        firing: Option<String>,
        resolved: &str,
        at: Timestamp,
    ) -> Option<SystemEvent> {
        let key = (org.cloned(), name);
        let changed = if firing.is_some() { self.firing.insert(key) } else { self.firing.remove(&key) };
        changed.then(|| SystemEvent::Alert {
            org: org.cloned(),
            name,
            firing: firing.is_some(),
            summary: firing.unwrap_or_else(|| resolved.to_owned()),
            at,
        })
    }

    /// The organisations of which this alert fires.
    pub fn orgs(&self, name: AlertName) -> Vec<OrgName> {
        let of = |(org, firing): &(Option<OrgName>, AlertName)| org.clone().filter(|_| *firing == name);
        self.firing.iter().filter_map(of).collect()
    }

    /// Whether an alert fires.
    pub fn fires(&self, org: Option<&OrgName>, name: AlertName) -> bool {
        self.firing.contains(&(org.cloned(), name))
    }
}

/// Records an event with a delivery for each webhook that receives it; a gap also in the history. Never call it twice
/// at once for one organisation.
pub async fn emit(
    store: &Store,
    subscriptions: &[Subscription],
    notice: &SystemEvent,
) -> Result<(), StoreError> {
    let (org, event_type) = match notice {
        SystemEvent::Alert { org, .. } => (org.clone(), EventType::SystemAlert),
        SystemEvent::Gap { org, .. } => (Some(org.clone()), EventType::SystemGap),
    };
    let counts = store.recorder().system_counts(org.clone()).await?;
    let earlier = counts.get(&event_type).copied().unwrap_or(0);
    let source = store.source();
    let draft = match notice {
        SystemEvent::Alert { name, firing, summary, at, .. } => {
            system::system_alert(source, org.as_ref(), *name, *firing, summary, *at, earlier)
        }
        SystemEvent::Gap { from, to, cause, .. } => {
            system::system_gap(source, org.as_ref(), (*from, *to), *cause, earlier)
        }
    };
    let webhooks = recipients(subscriptions, &draft, None, None);
    store.recorder().record_system(org, vec![Outgoing { draft, webhooks }]).await?;
    if let SystemEvent::Gap { org, from, to, because, .. } = notice {
        store.gaps().note(org.clone(), None, *from, *to, *because).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_sent_when_it_changes_and_not_again() {
        let mut alert_state = AlertState::default();
        let org = OrgName::default_name();
        let at = Timestamp::from_ms(1);
        let mut set = |firing: Option<&str>| {
            alert_state.set(Some(&org), AlertName::Auth, firing.map(str::to_owned), "well again", at)
        };
        assert_eq!(set(None), None, "nothing fired");
        let Some(SystemEvent::Alert { firing: true, summary, .. }) = set(Some("refused")) else {
            panic!("fires")
        };
        assert_eq!(summary, "refused");
        assert_eq!(set(Some("still refused")), None);
        let Some(SystemEvent::Alert { firing: false, summary, .. }) = set(None) else { panic!("resolves") };
        assert_eq!(summary, "well again");
        assert!(!alert_state.fires(Some(&org), AlertName::Auth));
    }
}
