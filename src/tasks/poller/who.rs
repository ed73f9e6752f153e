//! What the config says about somebody, kept small between looks: most people have no name beside their id, no groups
//! and no tags, and most looks change nothing.
//!
//! Guards: the [`UserInfo`] that comes out is the one that went in. Deliberately not here: what a card is for
//! (`presence::event`).

use std::collections::BTreeMap;

use crate::ids::Identity;
use crate::presence::event::UserInfo;

type GroupsAndTags = (Vec<String>, BTreeMap<String, String>);

/// A folded [`UserInfo`].
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// Who.
    pub(super) identity: Identity,
    /// `None`: the unionId.
    name: Option<Box<str>>,
    /// `None`: neither.
    groups_and_tags: Option<Box<GroupsAndTags>>,
    /// As in the card.
    pub(super) store_nick: bool,
}

impl From<UserInfo> for Who {
    fn from(card: UserInfo) -> Self {
        let UserInfo { identity, name, groups, tags, store_nick } = card;
        let named = name != identity.union_id.as_str();
        let grouped = !groups.is_empty() || !tags.is_empty();
        Self {
            name: named.then(|| name.into_boxed_str()),
            groups_and_tags: grouped.then(|| Box::new((groups, tags))),
            identity,
            store_nick,
        }
    }
}

impl Who {
    /// By the config; else the unionId.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.identity.union_id.as_str())
    }

    /// As it was.
    pub(super) fn card(&self) -> UserInfo {
        let (groups, tags) = self.groups_and_tags.as_deref().cloned().unwrap_or_default();
        UserInfo {
            identity: self.identity.clone(),
            name: self.name().to_owned(),
            groups,
            tags,
            store_nick: self.store_nick,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{OrgName, UnionId};

    fn card(name: &str, groups: &[&str], tags: &[(&str, &str)]) -> UserInfo {
        let union_id = UnionId::parse("u1").unwrap();
        UserInfo {
            identity: Identity { org: OrgName::default_name(), union_id },
            name: name.to_owned(),
            groups: groups.iter().map(ToString::to_string).collect(),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            store_nick: true,
        }
    }

    #[test]
    fn a_card_comes_out_as_it_went_in() {
        for card in [card("u1", &[], &[]), card("Wang", &["sales"], &[]), card("u1", &[], &[("site", "HZ")])]
        {
            assert_eq!(Who::from(card.clone()).card(), card);
        }
    }

    #[test]
    fn who_has_nothing_special_needs_no_heap_of_their_own() {
        let who = Who::from(card("u1", &[], &[]));
        assert!(who.name.is_none() && who.groups_and_tags.is_none());
    }
}
