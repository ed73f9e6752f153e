//! Learns from polls by which ids sweeps name users: unionIds, or the userids of the organisation's contacts.
//!
//! Guards: only a poll that found a user inside the same meeting is evidence; once a kind of id is learned, only that
//! kind matches, so an id of one kind that equals another user's id of the other kind never matches that user; two
//! users never have one userid. Not here: reading the contacts (`tasks`), whether sweeps are trusted (`confidence`).

use std::collections::{BTreeMap, BTreeSet};

/// After this many polls in a row that contradict the learned kind, it is learned again.
const UNEXPLAINED: u32 = 3;

/// A kind of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// The unionId, by which polls name users.
    UnionId,
    /// The userid in the organisation's contacts.
    Userid,
}

impl IdKind {
    /// Name in the database and in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnionId => "union_id",
            Self::Userid => "userid",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::UnionId, Self::Userid].into_iter().find(|kind| kind.name() == name)
    }
}

/// What follows from one poll for the kind of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdEvidence {
    /// Nothing new.
    Nothing,
    /// Sweeps use this kind.
    Learned(IdKind),
    /// Read this user's userid from the contacts.
    AskContacts,
    /// Neither id is in the sweep.
    Unmatched,
    /// The learned kind no longer holds; it is learned again.
    Reset,
}

/// Known ids of an organisation's users; `K` is a user's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepIds<K> {
    kind: Option<IdKind>,
    /// Userid by user; `None`: the contacts do not have the user.
    userids: BTreeMap<K, Option<String>>,
    /// User by userid.
    owners: BTreeMap<String, K>,
    /// Users whose known userid did not explain a poll: it may have changed.
    doubted: BTreeSet<K>,
    unexplained: u32,
    refused: bool,
}

impl<K: Copy + Ord> SweepIds<K> {
    /// The id that a sweep would list for this user; `None`: sweeps cannot report the user. Until a kind is learned it
    /// is the unionId, and sweeps are not trusted.
    pub fn id_of<'a>(&'a self, user: K, union_id: &'a str) -> Option<&'a str> {
        match self.kind {
            None | Some(IdKind::UnionId) => Some(union_id),
            Some(IdKind::Userid) => self.userid(user),
        }
    }

    /// Records that a poll found `user` inside a meeting that a sweep listed shortly before. `listed`: whether the
    /// sweep lists an id in that meeting.
    pub fn record_poll(&mut self, user: K, union_id: &str, listed: impl Fn(&str) -> bool) -> IdEvidence {
        let by_union_id = listed(union_id);
        let by_userid = self.userid(user).is_some_and(|userid| userid != union_id && listed(userid));
        let explained = match (self.kind, by_union_id, by_userid) {
            (None, true, false) => return self.learn(IdKind::UnionId),
            (None, false, true) => return self.learn(IdKind::Userid),
            // Both ids are listed: one of them is another user's.
            (None, true, true) => return IdEvidence::Nothing,
            (None, false, false) if self.may_ask(user) => return IdEvidence::AskContacts,
            (None, false, false) => return IdEvidence::Unmatched,
            (Some(IdKind::UnionId), there, _) => there,
            (Some(IdKind::Userid), _, there) => match self.userids.get(&user) {
                Some(Some(_)) => there,
                Some(None) => return IdEvidence::Nothing,
                None if self.refused => return IdEvidence::Nothing,
                None => return IdEvidence::AskContacts,
            },
        };
        self.unexplained = if explained { 0 } else { self.unexplained + 1 };
        if self.unexplained == UNEXPLAINED {
            (self.kind, self.unexplained) = (None, 0);
            return IdEvidence::Reset;
        }
        if explained || self.kind == Some(IdKind::UnionId) || self.refused {
            return IdEvidence::Nothing;
        }
        self.doubted.insert(user);
        IdEvidence::AskContacts
    }

    fn learn(&mut self, kind: IdKind) -> IdEvidence {
        (self.kind, self.unexplained) = (Some(kind), 0);
        IdEvidence::Learned(kind)
    }

    /// Records a user's userid from the contacts; `None`: the contacts do not have the user. Users with the same
    /// userid get none.
    pub fn set_userid(&mut self, user: K, userid: Option<String>) {
        self.remove(user);
        let Some(userid) = userid else {
            self.userids.insert(user, None);
            return;
        };
        if let Some(other) = self.owners.insert(userid.clone(), user).filter(|other| *other != user) {
            self.userids.insert(other, None);
            self.userids.insert(user, None);
            // The userid keeps an owner, so that a third user with it gets none either.
            return;
        }
        self.userids.insert(user, Some(userid));
    }

    /// Removes a user who is no longer watched.
    pub fn remove(&mut self, user: K) {
        self.doubted.remove(&user);
        if let Some(Some(old)) = self.userids.remove(&user) {
            self.owners.remove(&old);
        }
    }

    /// The user with this userid.
    pub fn owner(&self, userid: &str) -> Option<K> {
        self.owners.get(userid).copied()
    }

    /// The userid of a user, if known.
    pub fn userid(&self, user: K) -> Option<&str> {
        self.userids.get(&user)?.as_deref()
    }

    /// The learned kind.
    pub fn kind(&self) -> Option<IdKind> {
        self.kind
    }

    /// Restores the kind that an earlier process learned.
    pub fn restore_kind(&mut self, kind: Option<IdKind>) {
        self.kind = kind;
    }

    /// Whether to read this user from the contacts: they are readable, and the userid is not known or in doubt.
    pub fn may_ask(&self, user: K) -> bool {
        !self.refused && (!self.userids.contains_key(&user) || self.doubted.contains(&user))
    }

    /// Whether a poll of `user` could reveal the kind.
    pub fn may_learn(&self, user: K) -> bool {
        self.kind.is_none() && (self.may_ask(user) || self.userid(user).is_some())
    }

    /// Records that the contacts are not readable. Returns whether this is new.
    pub fn mark_refused(&mut self) -> bool {
        !std::mem::replace(&mut self.refused, true)
    }

    /// Whether the contacts are not readable.
    pub fn is_refused(&self) -> bool {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(users: &[(u32, &str)]) -> SweepIds<u32> {
        let mut ids: SweepIds<u32> = SweepIds::default();
        for (user, userid) in users {
            ids.set_userid(*user, Some((*userid).to_owned()));
        }
        ids
    }

    #[test]
    fn a_listed_unionid_decides() {
        let mut ids: SweepIds<u32> = SweepIds::default();
        assert_eq!(ids.record_poll(0, "u0", |id| id == "u0"), IdEvidence::Learned(IdKind::UnionId));
        assert_eq!(ids.id_of(1, "u1"), Some("u1"));
    }

    #[test]
    fn otherwise_the_contacts_are_read_and_a_listed_userid_decides() {
        let mut ids: SweepIds<u32> = SweepIds::default();
        assert_eq!(ids.record_poll(0, "u0", |id| id == "zero"), IdEvidence::AskContacts);
        ids.set_userid(0, Some("zero".into()));
        assert_eq!(ids.record_poll(0, "u0", |id| id == "zero"), IdEvidence::Learned(IdKind::Userid));
        assert_eq!(ids.id_of(0, "u0"), Some("zero"));
        assert_eq!(ids.id_of(1, "u1"), None, "a user without a known userid has no id");
        assert_eq!(ids.record_poll(1, "u1", |_| false), IdEvidence::AskContacts);
    }

    #[test]
    fn unlisted_ids_and_unreadable_contacts_are_no_evidence() {
        let mut ids = known(&[(0, "zero")]);
        ids.set_userid(1, None);
        assert_eq!(ids.record_poll(0, "u0", |_| false), IdEvidence::Unmatched);
        assert_eq!(ids.record_poll(1, "u1", |_| false), IdEvidence::Unmatched);
        assert!(ids.mark_refused() && !ids.mark_refused());
        assert_eq!(ids.record_poll(2, "u2", |_| false), IdEvidence::Unmatched);
        assert!(!ids.may_learn(2) && !ids.may_learn(1) && ids.may_learn(0));
        assert_eq!(ids.kind(), None);
    }

    #[test]
    fn both_ids_in_one_meeting_are_no_evidence() {
        let mut ids = known(&[(0, "zero")]);
        assert_eq!(ids.record_poll(0, "u0", |_| true), IdEvidence::Nothing);
        let mut same = known(&[(0, "u0")]);
        assert_eq!(
            same.record_poll(0, "u0", |_| true),
            IdEvidence::Learned(IdKind::UnionId),
            "both are the same id"
        );
    }

    #[test]
    fn a_userid_that_equals_a_unionid_matches_its_owner_only() {
        let mut ids = known(&[(0, "zero"), (1, "u2"), (2, "two")]);
        ids.record_poll(0, "u0", |id| id == "zero");
        assert_eq!(ids.id_of(2, "u2"), Some("two"));
        assert_eq!(ids.id_of(1, "u1"), Some("u2"));
    }

    #[test]
    fn a_userid_shared_by_several_users_matches_none_of_them() {
        let ids = known(&[(0, "x"), (1, "x"), (2, "x"), (3, "y")]);
        assert_eq!([0, 1, 2, 3].map(|user| ids.userid(user)), [None, None, None, Some("y")]);
    }

    #[test]
    fn a_kind_that_three_polls_in_a_row_contradict_is_learned_again() {
        let mut ids = known(&[(0, "zero")]);
        ids.record_poll(0, "u0", |id| id == "u0");
        let other = |id: &str| id == "zero";
        assert_eq!(
            [(); 3].map(|()| ids.record_poll(0, "u0", other)),
            [IdEvidence::Nothing, IdEvidence::Nothing, IdEvidence::Reset]
        );
        assert_eq!(ids.record_poll(0, "u0", other), IdEvidence::Learned(IdKind::Userid));
        for there in [false, false, true, false, false] {
            let evidence = ids.record_poll(0, "u0", |id| there && id == "zero");
            assert_eq!(evidence, if there { IdEvidence::Nothing } else { IdEvidence::AskContacts });
        }
        assert_eq!(ids.kind(), Some(IdKind::Userid));
    }

    #[test]
    fn a_userid_that_does_not_explain_a_poll_is_read_again() {
        let mut ids = known(&[(0, "zero"), (1, "one")]);
        ids.record_poll(1, "u1", |id| id == "one");
        assert_eq!(ids.record_poll(0, "u0", |id| id == "null"), IdEvidence::AskContacts);
        assert_eq!(ids.id_of(0, "u0"), Some("zero"), "until the contacts say otherwise");
        assert!(ids.may_ask(0));
        ids.set_userid(0, Some("null".into()));
        assert!(!ids.may_ask(0));
        assert_eq!((ids.id_of(0, "u0"), ids.owner("zero")), (Some("null"), None));
        assert_eq!(ids.record_poll(0, "u0", |id| id == "null"), IdEvidence::Nothing);
    }

    #[test]
    fn a_user_added_again_gets_the_userid_of_the_removed_one() {
        let mut ids = known(&[(0, "zero")]);
        ids.remove(ids.owner("zero").unwrap());
        ids.set_userid(7, Some("zero".into()));
        assert_eq!((ids.userid(0), ids.userid(7)), (None, Some("zero")));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        /// Ids of both kinds from the same few letters, in any order of polls and answers of the contacts.
        #[test]
        fn no_user_is_taken_for_another(
            answers in prop::collection::vec((0_u32..5, prop::option::of("[abc]")), 0..12),
            polls in prop::collection::vec((0_u32..5, prop::collection::btree_set("[abc]", 0..3)), 0..20),
        ) {
            let union_ids = ["a", "b", "c", "d", "e"];
            let mut ids: SweepIds<u32> = SweepIds::default();
            let mut answers = answers.into_iter();
            for (user, seats) in polls {
                if let Some((of, userid)) = answers.next() {
                    ids.set_userid(of, userid);
                }
                let before = ids.kind();
                let evidence = ids.record_poll(user, union_ids[user as usize], |id| seats.contains(id));
                if let IdEvidence::Learned(kind) = evidence {
                    prop_assert_eq!((before, ids.kind()), (None, Some(kind)));
                    let id = ids.id_of(user, union_ids[user as usize]);
                    prop_assert!(id.is_some_and(|id| seats.contains(id)), "learned from a listed id");
                }
                let mut found: Vec<&str> =
                    (0..5).filter_map(|user| ids.id_of(user, union_ids[user as usize])).collect();
                found.sort_unstable();
                let all = found.len();
                found.dedup();
                prop_assert_eq!(found.len(), all, "one id listed for two users");
            }
        }
    }
}
