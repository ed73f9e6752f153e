//! Decides which webhooks get an event. The result is computed when the event is committed, and stored with it.
//!
//! Guards: a test event goes only to the webhook that is tested, and no webhook gets an alert about itself. Not here: the
//! age of an event, which matters only when it is sent (`policy::delivery`).

use std::fmt;
use std::sync::Arc;

use crate::ids::{OrgName, WebhookName};
use crate::presence::event::{EventType, NewEvent, UserInfo};

/// A pattern for event types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*`: everything but `webhook.test`.
    All,
    /// `meeting.*`: all types that start with the part up to the dot, which the value includes.
    Family(&'static str),
    Exact(EventType),
}

/// The families of event types.
const FAMILIES: [&str; 5] = ["meeting.", "user.", "watch.", "system.", "webhook."];

/// A pattern that matches no event type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no event type and no pattern like `meeting.*`")]
pub struct PatternError(pub String);

impl Pattern {
    /// Parses an entry of `events`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::All);
        }
        if let Some(family) = text.strip_suffix('*') {
            let family = FAMILIES.into_iter().find(|&known| known == family);
            return family.map(Self::Family).ok_or_else(|| PatternError(text.to_owned()));
        }
        let exact = EventType::ALL.iter().copied().find(|known| known.name() == text);
        exact.map(Self::Exact).ok_or_else(|| PatternError(text.to_owned()))
    }

    fn matches(self, event_type: EventType) -> bool {
        match self {
            Self::All => event_type != EventType::WebhookTest,
            Self::Family(family) => event_type.name().starts_with(family),
            Self::Exact(exact) => exact == event_type,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Family(family) => write!(f, "{family}*"),
            Self::Exact(exact) => f.write_str(exact.name()),
        }
    }
}

/// The webhooks that get an event. `about` is the webhook that the event is about; it never gets the event itself.
pub fn recipients(
    subscriptions: &[Subscription],
    draft: &NewEvent,
    card: Option<&UserInfo>,
    about: Option<&WebhookName>,
) -> Arc<[WebhookName]> {
    let wanting = subscriptions.iter().filter(|one| about != Some(&one.webhook) && one.wants(draft, card));
    wanting.map(|one| one.webhook.clone()).collect()
}

/// The filters of one webhook.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub webhook: WebhookName,
    /// The event types; empty means joined and left.
    pub patterns: Vec<Pattern>,
    /// unionIds or names; empty means all users.
    pub users: Vec<String>,
    /// Groups; empty means all users.
    pub groups: Vec<String>,
    /// Organisations; empty means all.
    pub orgs: Vec<OrgName>,
    /// Only events about the host of a meeting.
    pub only_hosts: bool,
    /// No events that were noticed late.
    pub skip_late: bool,
}

/// Why a webhook does not get an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwanted {
    /// No pattern matches the type.
    #[error("no pattern in `events` matches the type")]
    Type,
    /// The organisation is not in `orgs`.
    #[error("the organisation is not in `orgs`")]
    Org,
    /// The user is not in `users`.
    #[error("the user is not in `users`")]
    User,
    /// The user is in none of `groups`.
    #[error("the user is in none of `groups`")]
    Group,
    /// `only_hosts` is set and the user is not the host.
    #[error("`only_hosts` is set and the user does not host the meeting")]
    NoHost,
    /// `skip_late` is set and the event was noticed late.
    #[error("`skip_late` is set and the event was noticed late")]
    Late,
}

impl Subscription {
    /// The filters of a webhook without any filter keys.
    pub fn new(webhook: WebhookName) -> Self {
        Self {
            webhook,
            patterns: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
            orgs: Vec::new(),
            only_hosts: false,
            skip_late: false,
        }
    }

    /// Whether the webhook gets this event. `card` is the user of the event; events without a user pass the filters on
    /// users.
    pub fn wants(&self, draft: &NewEvent, card: Option<&UserInfo>) -> bool {
        self.judge(draft, card).is_ok()
    }

    /// The same, with the first reason against it.
    pub fn judge(&self, draft: &NewEvent, card: Option<&UserInfo>) -> Result<(), Unwanted> {
        if !self.wants_type(draft.event_type) {
            return Err(Unwanted::Type);
        }
        self.check_org(draft)?;
        if let Some(card) = card {
            self.check_user_event(draft, card)?;
        }
        if self.skip_late && draft.late { Err(Unwanted::Late) } else { Ok(()) }
    }

    /// Whether this webhook may get events about this user at all. It decides about snapshots that the operator asks for: no
    /// pattern has to match their type, and they are not about a meeting.
    pub fn admits_user(&self, card: &UserInfo) -> bool {
        (self.orgs.is_empty() || self.orgs.contains(&card.identity.org)) && self.check_user(card).is_ok()
    }

    fn wants_type(&self, event_type: EventType) -> bool {
        if self.patterns.is_empty() {
            return matches!(event_type, EventType::ParticipantJoined | EventType::ParticipantLeft);
        }
        self.patterns.iter().any(|pattern| pattern.matches(event_type))
    }

    /// An event about the daemon itself belongs to no organisation and passes.
    fn check_org(&self, draft: &NewEvent) -> Result<(), Unwanted> {
        let org = draft.identity.as_ref().map(|identity| &identity.org).or(draft.data.org.as_ref());
        if self.orgs.is_empty() || org.is_none_or(|org| self.orgs.contains(org)) {
            Ok(())
        } else {
            Err(Unwanted::Org)
        }
    }

    fn check_user_event(&self, draft: &NewEvent, card: &UserInfo) -> Result<(), Unwanted> {
        self.check_user(card)?;
        if self.only_hosts && !draft.host { Err(Unwanted::NoHost) } else { Ok(()) }
    }

    fn check_user(&self, card: &UserInfo) -> Result<(), Unwanted> {
        let is_named = |user: &String| *user == card.name || user == card.identity.union_id.as_str();
        if !self.users.is_empty() && !self.users.iter().any(is_named) {
            return Err(Unwanted::User);
        }
        if !self.groups.is_empty() && !self.groups.iter().any(|group| card.groups.contains(group)) {
            return Err(Unwanted::Group);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Identity, UnionId};
    use crate::presence::system::{self, AlertName, GapCause};
    use crate::time::Timestamp;

    fn card() -> UserInfo {
        UserInfo {
            identity: Identity {
                org: OrgName::parse("acme").unwrap(),
                union_id: UnionId::parse("union-1").unwrap(),
            },
            name: "Li Wei".to_owned(),
            groups: vec!["ops".to_owned(), "night".to_owned()],
            tags: BTreeMap::new(),
            store_nick: true,
        }
    }

    fn draft(event_type: EventType) -> NewEvent {
        let about_person =
            !matches!(event_type, EventType::SystemAlert | EventType::SystemGap | EventType::WebhookTest);
        let gap = (Timestamp::from_ms(0), Timestamp::from_ms(1));
        let gap = system::system_gap("urn:x", None, gap, GapCause::Restart, 0);
        NewEvent { event_type, identity: about_person.then(|| card().identity), ..gap }
    }

    fn subscription(patterns: &[&str]) -> Subscription {
        let patterns = patterns.iter().map(|p| Pattern::parse(p).unwrap()).collect();
        Subscription { patterns, ..Subscription::new(WebhookName::parse("crm").unwrap()) }
    }

    fn wanted(subscription: &Subscription) -> Vec<&'static str> {
        let wants = |t: &EventType| {
            let draft = draft(*t);
            let card = draft.identity.is_some().then(card);
            subscription.wants(&draft, card.as_ref())
        };
        EventType::ALL.iter().filter(|t| wants(t)).map(|t| t.name()).collect()
    }

    #[test]
    fn without_events_it_gets_joined_and_left() {
        assert_eq!(wanted(&subscription(&[])), ["meeting.participant_joined", "meeting.participant_left"]);
    }

    #[test]
    fn star_gets_everything_but_tests() {
        let all = wanted(&subscription(&["*"]));
        assert_eq!(all.len(), EventType::ALL.len() - 1);
        assert!(!all.contains(&"webhook.test"));
    }

    #[test]
    fn families_and_names() {
        assert_eq!(wanted(&subscription(&["watch.*"])), ["watch.stale", "watch.recovered", "watch.rejected"]);
        assert_eq!(
            wanted(&subscription(&["system.gap", "user.presence_changed"])),
            ["user.presence_changed", "system.gap"]
        );
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused() {
        for text in
            ["", "meeting", "meeting.", "meet*", "**", "*.joined", "meeting.participant_joned", "Meeting.*"]
        {
            assert_eq!(Pattern::parse(text), Err(PatternError(text.to_owned())));
        }
        for text in ["*", "meeting.*", "meeting.participant_left"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_alert_about_a_webhook_goes_to_the_others_only() {
        let alert = system::system_alert(
            "urn:x",
            None,
            AlertName::Webhook,
            true,
            "crm is down",
            Timestamp::from_ms(0),
            0,
        );
        let other = Subscription { webhook: WebhookName::parse("other").unwrap(), ..subscription(&["*"]) };
        let none = Subscription { webhook: WebhookName::parse("none").unwrap(), ..subscription(&[]) };
        let all = [subscription(&["system.alert"]), other.clone(), none];
        let sent_to = |about: Option<&WebhookName>| recipients(&all, &alert, None, about).to_vec();
        assert_eq!(sent_to(Some(&all[0].webhook)), std::slice::from_ref(&other.webhook));
        assert_eq!(sent_to(None), [all[0].webhook.clone(), other.webhook]);
    }

    #[test]
    fn people_are_chosen_by_id_name_and_group() {
        let (joined, card) = (draft(EventType::ParticipantJoined), card());
        for (users, groups, expected) in [
            (vec!["union-1"], vec![], Ok(())),
            (vec!["Li Wei", "x"], vec![], Ok(())),
            (vec!["li wei"], vec![], Err(Unwanted::User)),
            (vec![], vec!["night"], Ok(())),
            (vec![], vec!["day"], Err(Unwanted::Group)),
            (vec!["union-1"], vec!["day"], Err(Unwanted::Group)),
        ] {
            let mut subscription = subscription(&["*"]);
            subscription.users = users.into_iter().map(str::to_owned).collect();
            subscription.groups = groups.into_iter().map(str::to_owned).collect();
            assert_eq!(subscription.judge(&joined, Some(&card)), expected);
            assert!(
                subscription.wants(&draft(EventType::SystemGap), None),
                "events without a user pass the filters on users"
            );
        }
    }

    #[test]
    fn a_requested_snapshot_needs_no_pattern_but_respects_the_user_filters() {
        let (snapshot, card) = (draft(EventType::PresenceSnapshot), card());
        let joins_only = Subscription { only_hosts: true, skip_late: true, ..subscription(&[]) };
        assert!(!joins_only.wants(&snapshot, Some(&card)));
        assert!(joins_only.admits_user(&card));
        let others = Subscription { users: vec!["other".to_owned()], ..subscription(&["*"]) };
        assert!(!others.admits_user(&card));
        let elsewhere = Subscription { orgs: vec![OrgName::parse("other").unwrap()], ..subscription(&["*"]) };
        assert!(!elsewhere.admits_user(&card));
    }

    #[test]
    fn organisations_are_chosen_by_name() {
        let mut subscription = subscription(&["*"]);
        subscription.orgs = vec![OrgName::parse("other").unwrap()];
        assert_eq!(
            subscription.judge(&draft(EventType::ParticipantJoined), Some(&card())),
            Err(Unwanted::Org)
        );
        let gap = |org: Option<&str>| {
            let mut gap = draft(EventType::SystemGap);
            gap.data.org = org.map(|org| OrgName::parse(org).unwrap());
            gap
        };
        assert_eq!(subscription.judge(&gap(Some("acme")), None), Err(Unwanted::Org));
        assert!(subscription.wants(&gap(Some("other")), None));
        assert!(subscription.wants(&gap(None), None), "the daemon's own belong to no organisation");
    }

    #[test]
    fn only_hosts_and_skip_late() {
        let (mut subscription, card) = (subscription(&[]), card());
        subscription.only_hosts = true;
        subscription.skip_late = true;
        for (host, late, expected) in
            [(true, false, Ok(())), (false, false, Err(Unwanted::NoHost)), (true, true, Err(Unwanted::Late))]
        {
            let joined = NewEvent { late, host, ..draft(EventType::ParticipantJoined) };
            assert_eq!(subscription.judge(&joined, Some(&card)), expected);
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn a_further_filter_never_lets_more_through(
            t in 0..EventType::ALL.len(), host: bool, late: bool, only_hosts: bool, skip_late: bool,
            users in proptest::collection::vec("union-[12]", 0..2), groups in proptest::collection::vec("ops|day", 0..2),
        ) {
            let draft = NewEvent { late, host, ..draft(EventType::ALL[t]) };
            let card = draft.identity.is_some().then(card);
            let open = subscription(&["*"]);
            let narrow = Subscription { users, groups, only_hosts, skip_late, ..open.clone() };
            prop_assert!(!narrow.wants(&draft, card.as_ref()) || open.wants(&draft, card.as_ref()));
        }
    }
}
