//! Events about nobody, told: alerts that turn, and stretches in which nobody looked.
//!
//! Guards: an alert is told when it turns and not again, also over a restart; an event's id is made of the stored count
//! of earlier ones, so two are never told at once. Deliberately not here: when an alert fires (each task knows its own).

use std::collections::BTreeSet;

use crate::ids::OrgName;
use crate::presence::event::EventType;
use crate::presence::system::{self, AlertName, GapCause};
use crate::store::gaps::Because;
use crate::store::{Outgoing, Store, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::{Subscription, recipients};

/// Something to tell that is about nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An alert turned.
    Alert {
        /// `None`: the daemon's own.
        org: Option<OrgName>,
        /// Which.
        name: AlertName,
        /// Or resolved.
        firing: bool,
        /// For a person, without secrets.
        summary: String,
        /// When.
        at: Timestamp,
    },
    /// Nobody of an organisation was looked at.
    Gap {
        /// Whose.
        org: OrgName,
        /// From the newest good look.
        from: Timestamp,
        /// To the first good one again.
        to: Timestamp,
        /// Why, for others.
        cause: GapCause,
        /// Why, for the history.
        because: Because,
    },
}

/// Which alerts fire.
#[derive(Clone, Debug, Default)]
pub struct Board {
    firing: BTreeSet<(Option<OrgName>, AlertName)>,
}

impl Board {
    /// As they stood when the daemon ended.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        const ALL: [AlertName; 6] = [
            AlertName::Budget,
            AlertName::Auth,
            AlertName::Upstream,
            AlertName::Config,
            AlertName::Webhook,
            AlertName::Database,
        ];
        let stored = store.alerts().firing().await?;
        let known = |(org, name): (Option<OrgName>, String)| {
            ALL.into_iter().find(|known| known.name() == name).map(|known| (org, known))
        };
        Ok(Self { firing: stored.into_iter().filter_map(known).collect() })
    }

    /// Sets one alert: `Some` of a summary fires it, `None` resolves it. Returns what is to be told, if it turned.
    pub fn set(
        &mut self,
        org: Option<&OrgName>,
        name: AlertName,
        firing: Option<String>,
        resolved: &str,
        at: Timestamp,
    ) -> Option<Notice> {
        let key = (org.cloned(), name);
        let turned = if firing.is_some() { self.firing.insert(key) } else { self.firing.remove(&key) };
        turned.then(|| Notice::Alert {
            org: org.cloned(),
            name,
            firing: firing.is_some(),
            summary: firing.unwrap_or_else(|| resolved.to_owned()),
            at,
        })
    }

    /// Whether one fires.
    pub fn fires(&self, org: Option<&OrgName>, name: AlertName) -> bool {
        self.firing.contains(&(org.cloned(), name))
    }
}

/// Writes a notice down as an event, with a delivery for each webhook that wants it; a gap also into the history. Never
/// call it twice at once for one organisation.
pub async fn tell(store: &Store, subscriptions: &[Subscription], notice: &Notice) -> Result<(), StoreError> {
    let (org, event_type) = match notice {
        Notice::Alert { org, .. } => (org.clone(), EventType::SystemAlert),
        Notice::Gap { org, .. } => (Some(org.clone()), EventType::SystemGap),
    };
    let counts = store.recorder().system_counts(org.clone()).await?;
    let earlier = counts.get(&event_type).copied().unwrap_or(0);
    let source = store.source();
    let draft = match notice {
        Notice::Alert { name, firing, summary, at, .. } => {
            system::system_alert(source, org.as_ref(), *name, *firing, summary, *at, earlier)
        }
        Notice::Gap { from, to, cause, .. } => {
            system::system_gap(source, org.as_ref(), (*from, *to), *cause, earlier)
        }
    };
    let webhooks = recipients(subscriptions, &draft, None, None);
    store.recorder().record_system(org, vec![Outgoing { draft, webhooks }]).await?;
    if let Notice::Gap { org, from, to, because, .. } = notice {
        store.gaps().note(org.clone(), None, *from, *to, *because).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_told_when_it_turns_and_not_again() {
        let mut board = Board::default();
        let org = OrgName::default_name();
        let at = Timestamp::from_ms(1);
        let mut set = |firing: Option<&str>| {
            board.set(Some(&org), AlertName::Auth, firing.map(str::to_owned), "well again", at)
        };
        assert_eq!(set(None), None, "nothing fired");
        let Some(Notice::Alert { firing: true, summary, .. }) = set(Some("refused")) else { panic!("fires") };
        assert_eq!(summary, "refused");
        assert_eq!(set(Some("still refused")), None);
        let Some(Notice::Alert { firing: false, summary, .. }) = set(None) else { panic!("resolves") };
        assert_eq!(summary, "well again");
        assert!(!board.fires(Some(&org), AlertName::Auth));
    }
}
