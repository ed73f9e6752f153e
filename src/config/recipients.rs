//! Compares the filters of webhooks with the watched users.
//!
//! Guards: a filter that matches no user is reported, in a time that does not grow with webhooks times users. Not here:
//! filtering, which is done when events are committed.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use super::section::{Located, Report};
use super::users::{Group, UserAt};
use crate::ids::{OrgName, WebhookName};

/// The users, groups and organisations that filters can name.
#[derive(Debug)]
pub(super) struct Watched<'a> {
    pub(super) users: &'a [UserAt],
    groups: &'a [Group],
    orgs: &'a [OrgName],
    index: OnceCell<Index<'a>>,
}

/// What is looked up for each webhook and each window.
#[derive(Debug, Default)]
struct Index<'a> {
    /// Users by name and by unionId.
    called: HashMap<&'a str, Vec<&'a UserAt>>,
    /// Groups with a user, in the order of the file.
    joined: Vec<&'a str>,
    is_joined: HashSet<&'a str>,
    orgs: HashSet<&'a OrgName>,
    /// The organisations of users who are enabled, their groups, and both together.
    with_users: HashSet<&'a OrgName>,
    has_members: HashSet<&'a str>,
    members: HashSet<(&'a str, &'a OrgName)>,
}

impl<'a> Watched<'a> {
    pub(super) fn new(users: &'a [UserAt], groups: &'a [Group], orgs: &'a [OrgName]) -> Self {
        Self { users, groups, orgs, index: OnceCell::new() }
    }

    fn index(&self) -> &Index<'a> {
        self.index.get_or_init(|| {
            let mut index = Index { orgs: self.orgs.iter().collect(), ..Index::default() };
            for at in self.users {
                let identity = &at.user.identity;
                index.called.entry(at.user.name.as_str()).or_default().push(at);
                index.called.entry(identity.union_id.as_str()).or_default().push(at);
                if at.enabled {
                    index.with_users.insert(&identity.org);
                }
                for group in &at.user.groups {
                    if index.is_joined.insert(group) {
                        index.joined.push(group);
                    }
                    if at.enabled {
                        index.has_members.insert(group);
                        index.members.insert((group, &identity.org));
                    }
                }
            }
            index
        })
    }

    /// Whether a group has a user.
    pub(super) fn is_joined(&self, group: &str) -> bool {
        self.index().is_joined.contains(group)
    }

    /// Groups with a user.
    pub(super) fn joined(&self) -> &[&'a str] {
        &self.index().joined
    }

    /// Whether an enabled user matches all filters.
    fn matches_a_user(&self, filters: &Filters<'_>) -> bool {
        let Filters { users, groups, orgs } = *filters;
        let index = self.index();
        let in_org = |org: &OrgName| orgs.is_empty() || orgs.iter().any(|word| word.value == *org);
        if !users.is_empty() {
            let named = users.iter().filter_map(|word| index.called.get(word.value.as_str())).flatten();
            return named.filter(|at| at.enabled).any(|at| {
                let in_group = |word: &Located<String>| at.user.groups.contains(&word.value);
                (groups.is_empty() || groups.iter().any(in_group)) && in_org(&at.user.identity.org)
            });
        }
        let has_members = |word: &Located<String>| {
            let group = word.value.as_str();
            match orgs {
                [] => index.has_members.contains(group),
                orgs => orgs.iter().any(|org| index.members.contains(&(group, &org.value))),
            }
        };
        match (groups, orgs) {
            ([], []) => !index.with_users.is_empty(),
            ([], orgs) => orgs.iter().any(|org| index.with_users.contains(&org.value)),
            (groups, _) => groups.iter().any(has_members),
        }
    }
}

/// The filters of one webhook. A user must match all of them; an empty filter matches every user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters<'a> {
    /// Names or unionIds.
    pub(super) users: &'a [Located<String>],
    pub(super) groups: &'a [Located<String>],
    pub(super) orgs: &'a [Located<OrgName>],
}

/// Reports unknown names, and filters that match no user together.
pub(super) fn check_recipients(
    filters: &Filters<'_>,
    name: &Located<WebhookName>,
    watched: &Watched<'_>,
    report: &Report,
) {
    let Filters { users, groups, orgs } = *filters;
    let mut all_known = true;
    let mut unknown = |(what, why): (&str, &str), word: &Located<String>, near: Option<&str>| {
        all_known = false;
        let message = format!("webhook `{}` names the {what} `{}`: {why}", name.value, word.value);
        let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        report.warning("matches-nobody", &word.place, message, &help);
    };
    for word in users {
        if !watched.index().called.contains_key(word.value.as_str()) {
            let names = watched
                .users
                .iter()
                .flat_map(|at| [at.user.name.as_str(), at.user.identity.union_id.as_str()]);
            unknown(("user", "no user has that name"), word, report.nearest(&word.value, names));
        }
    }
    for word in groups {
        if !watched.is_joined(&word.value) {
            let declared = watched.groups.iter().map(|group| group.name.value.as_str());
            let names = watched.joined().iter().copied().chain(declared).filter(|name| *name != word.value);
            unknown(("group", "no user is in it"), word, report.nearest(&word.value, names));
        }
    }
    for word in orgs {
        if !watched.index().orgs.contains(&word.value) {
            let near = report.nearest(word.value.as_str(), watched.orgs.iter().map(OrgName::as_str));
            unknown(
                ("organisation", "it does not exist"),
                &Located { value: word.value.to_string(), place: word.place.clone() },
                near,
            );
        }
    }
    if all_known && !watched.users.is_empty() && !watched.matches_a_user(filters) {
        let message = format!("webhook `{}` matches no user", name.value);
        let help = "an enabled user must match `users`, `groups` and `orgs`";
        report.warning("matches-nobody", &name.place, message, help);
    }
}
