//! What the config says about a user, kept small between polls: most users have no name beside their id, no groups and
//! no tags, and most polls change nothing.
//!
//! Guards: the [`UserInfo`] that comes out equals the one that went in. Not here: what a card is for (`presence::event`).

use std::collections::BTreeMap;

use crate::ids::Identity;
use crate::presence::event::UserInfo;

type GroupsAndTags = (Vec<String>, BTreeMap<String, String>);

/// A compact [`UserInfo`].
#[derive(Clone, Debug)]
pub(super) struct CompactUserInfo {
    pub(super) identity: Identity,
    /// `None`: the name is the unionId.
    name: Option<Box<str>>,
    /// `None`: no groups and no tags.
    groups_and_tags: Option<Box<GroupsAndTags>>,
    /// As in the card.
    pub(super) store_nick: bool,
}

impl From<UserInfo> for CompactUserInfo {
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

impl CompactUserInfo {
    /// The name in the config, or the unionId.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.identity.union_id.as_str())
    }

    /// The card it was made from.
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
            assert_eq!(CompactUserInfo::from(card.clone()).card(), card);
        }
    }

    #[test]
    fn who_has_nothing_special_needs_no_heap_of_their_own() {
        let who = CompactUserInfo::from(card("u1", &[], &[]));
        assert!(who.name.is_none() && who.groups_and_tags.is_none());
    }
}
