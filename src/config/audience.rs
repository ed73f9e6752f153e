//! Whom a webhook is about: the names in its filters against the people who are watched.
//!
//! Guards: a filter that lets nobody through is pointed out before events are missed. Deliberately not here: the
//! filtering itself, which happens when events are committed.

use super::keys::nearest;
use super::people::{Group, UserAt};
use super::section::{Report, Spot};
use crate::ids::{OrgName, WebhookName};

/// Whom filters can name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched<'a> {
    /// All users.
    pub(super) users: &'a [UserAt],
    /// All groups with a table of their own.
    pub(super) groups: &'a [Group],
    /// All organisations.
    pub(super) orgs: &'a [OrgName],
}

/// The filters of one webhook; all of them must let somebody through, an empty one does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters<'a> {
    /// Names or unionIds.
    pub(super) users: &'a [Spot<String>],
    /// Groups.
    pub(super) groups: &'a [Spot<String>],
    /// Organisations.
    pub(super) orgs: &'a [Spot<OrgName>],
}

/// Names that nobody has, and filters that leave nobody together.
pub(super) fn check_audience(
    filters: &Filters<'_>,
    name: &Spot<WebhookName>,
    watched: Watched<'_>,
    report: &Report,
) {
    let Filters { users, groups, orgs } = *filters;
    let mut all_known = true;
    let mut unknown = |(what, why): (&str, &str), word: &Spot<String>, near: Option<&str>| {
        all_known = false;
        let message = format!("webhook `{}` names the {what} `{}`: {why}", name.value, word.value);
        let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        report.warning("matches-nobody", &word.place, message, &help);
    };
    for word in users {
        let names = || {
            watched.users.iter().flat_map(|at| [at.user.name.as_str(), at.user.identity.union_id.as_str()])
        };
        if !names().any(|name| name == word.value) {
            unknown(("user", "nobody is called that"), word, nearest(&word.value, names()));
        }
    }
    for word in groups {
        let names = || watched.users.iter().flat_map(|at| at.user.groups.iter().map(String::as_str));
        if !names().any(|name| name == word.value) {
            let declared = watched.groups.iter().map(|group| group.name.value.as_str());
            unknown(
                ("group", "nobody is in it"),
                word,
                nearest(&word.value, names().chain(declared).filter(|name| *name != word.value)),
            );
        }
    }
    for word in orgs {
        if !watched.orgs.contains(&word.value) {
            let near = nearest(word.value.as_str(), watched.orgs.iter().map(OrgName::as_str));
            unknown(
                ("organisation", "there is none"),
                &Spot { value: word.value.to_string(), place: word.place.clone() },
                near,
            );
        }
    }
    let chosen = |at: &&UserAt| {
        let (user, identity) = (&at.user, &at.user.identity);
        (users.is_empty()
            || users.iter().any(|w| w.value == user.name || w.value == identity.union_id.as_str()))
            && (groups.is_empty() || groups.iter().any(|w| user.groups.contains(&w.value)))
            && (orgs.is_empty() || orgs.iter().any(|w| w.value == identity.org))
    };
    if all_known
        && !watched.users.is_empty()
        && !watched.users.iter().filter(|at| at.enabled).any(|at| chosen(&at))
    {
        let message = format!("webhook `{}` matches nobody", name.value);
        let help = "`users`, `groups` and `orgs` must all hold for somebody who is enabled";
        report.warning("matches-nobody", &name.place, message, help);
    }
}
