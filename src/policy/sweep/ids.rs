//! By which ids sweeps name users: unionIds, or the userids of the organisation's contacts; learned from looks.
//!
//! Guards: only a look that saw somebody inside the very meeting teaches anything; once a kind is learned users are
//! found by that kind alone, so an id of one kind that reads like somebody's id of the other kind never listed for them;
//! two users never have one userid. Deliberately not here: asking the contacts (`tasks`), whether sweeps are believed
//! (`trust`).

use std::collections::{BTreeMap, BTreeSet};

/// So many looks in a row that the learned kind cannot explain, and it is learned anew.
const UNEXPLAINED: u32 = 3;

/// A kind of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// What looks ask by.
    UnionId,
    /// What the organisation's contacts know users by.
    Userid,
}

impl IdKind {
    /// As the database and users have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnionId => "union_id",
            Self::Userid => "userid",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::UnionId, Self::Userid].into_iter().find(|kind| kind.name() == name)
    }
}

/// What one look teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdEvidence {
    /// Nothing new.
    Nothing,
    /// Sweeps name users by this.
    Learned(IdKind),
    /// The contacts should be asked for this user's userid.
    AskContacts,
    /// Neither id listed there.
    Unmatched,
    /// What was learned does not hold any more.
    Reset,
}

/// What is known of an organisation's ids; `K` is a user's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepIds<K> {
    kind: Option<IdKind>,
    /// By user; `None`: the contacts do not have them.
    userids: BTreeMap<K, Option<String>>,
    /// The other way round.
    owners: BTreeMap<String, K>,
    /// Their userid is known, and a look could not be explained by it: perhaps they have another one now.
    doubted: BTreeSet<K>,
    unexplained: u32,
    refused: bool,
}

impl<K: Copy + Ord> SweepIds<K> {
    /// What to look for in a sweep; `None`: sweeps cannot tell of this user. Before anything is learned it is the
    /// unionId, and then nothing that follows is believed.
    pub fn id_of<'a>(&'a self, user: K, union_id: &'a str) -> Option<&'a str> {
        match self.kind {
            None | Some(IdKind::UnionId) => Some(union_id),
            Some(IdKind::Userid) => self.userid(user),
        }
    }

    /// A look saw `user` inside a meeting that a sweep listed shortly before. `listed`: whether an id listed inside
    /// that meeting in that sweep.
    pub fn record_poll(&mut self, user: K, union_id: &str, listed: impl Fn(&str) -> bool) -> IdEvidence {
        let by_union_id = listed(union_id);
        let by_userid = self.userid(user).is_some_and(|userid| userid != union_id && listed(userid));
        let explained = match (self.kind, by_union_id, by_userid) {
            (None, true, false) => return self.learn(IdKind::UnionId),
            (None, false, true) => return self.learn(IdKind::Userid),
            // Both stand there: one of them is somebody else.
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

    /// What the contacts say of somebody's userid; `None`: they do not have them. Who would share one has none.
    pub fn set_userid(&mut self, user: K, userid: Option<String>) {
        self.remove(user);
        let Some(userid) = userid else {
            self.userids.insert(user, None);
            return;
        };
        if let Some(other) = self.owners.insert(userid.clone(), user).filter(|other| *other != user) {
            self.userids.insert(other, None);
            self.userids.insert(user, None);
            // Stays owned, so that a third one gets none either.
            return;
        }
        self.userids.insert(user, Some(userid));
    }

    /// Somebody is not watched any more.
    pub fn remove(&mut self, user: K) {
        self.doubted.remove(&user);
        if let Some(Some(old)) = self.userids.remove(&user) {
            self.owners.remove(&old);
        }
    }

    /// Whose userid that is.
    pub fn owner(&self, userid: &str) -> Option<K> {
        self.owners.get(userid).copied()
    }

    /// Somebody's userid, where it is known.
    pub fn userid(&self, user: K) -> Option<&str> {
        self.userids.get(&user)?.as_deref()
    }

    /// The learned kind.
    pub fn kind(&self) -> Option<IdKind> {
        self.kind
    }

    /// What was learned by an earlier process.
    pub fn restore_kind(&mut self, kind: Option<IdKind>) {
        self.kind = kind;
    }

    /// The contacts were not asked about this user yet, or what they said is in doubt; and they answer.
    pub fn may_ask(&self, user: K) -> bool {
        !self.refused && (!self.userids.contains_key(&user) || self.doubted.contains(&user))
    }

    /// Whether a look at `user` could teach the kind.
    pub fn may_learn(&self, user: K) -> bool {
        self.kind.is_none() && (self.may_ask(user) || self.userid(user).is_some())
    }

    /// The contacts may not be read. Gives back whether that is new.
    pub fn mark_refused(&mut self) -> bool {
        !std::mem::replace(&mut self.refused, true)
    }

    /// The contacts may not be read.
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
    fn a_unionid_that_stands_there_settles_it() {
        let mut ids: SweepIds<u32> = SweepIds::default();
        assert_eq!(ids.record_poll(0, "u0", |id| id == "u0"), IdEvidence::Learned(IdKind::UnionId));
        assert_eq!(ids.id_of(1, "u1"), Some("u1"));
    }

    #[test]
    fn else_the_contacts_are_asked_and_a_userid_that_stands_there_settles_it() {
        let mut ids: SweepIds<u32> = SweepIds::default();
        assert_eq!(ids.record_poll(0, "u0", |id| id == "zero"), IdEvidence::AskContacts);
        ids.set_userid(0, Some("zero".into()));
        assert_eq!(ids.record_poll(0, "u0", |id| id == "zero"), IdEvidence::Learned(IdKind::Userid));
        assert_eq!(ids.id_of(0, "u0"), Some("zero"));
        assert_eq!(ids.id_of(1, "u1"), None, "nothing is said of who is not known");
        assert_eq!(ids.record_poll(1, "u1", |_| false), IdEvidence::AskContacts);
    }

    #[test]
    fn neither_id_and_nobody_to_ask_teach_nothing() {
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
    fn both_ids_in_one_meeting_teach_nothing() {
        let mut ids = known(&[(0, "zero")]);
        assert_eq!(ids.record_poll(0, "u0", |_| true), IdEvidence::Nothing);
        let mut same = known(&[(0, "u0")]);
        assert_eq!(
            same.record_poll(0, "u0", |_| true),
            IdEvidence::Learned(IdKind::UnionId),
            "they are one id"
        );
    }

    #[test]
    fn a_userid_that_reads_like_a_unionid_stands_for_its_owner_alone() {
        let mut ids = known(&[(0, "zero"), (1, "u2"), (2, "two")]);
        ids.record_poll(0, "u0", |id| id == "zero");
        assert_eq!(ids.id_of(2, "u2"), Some("two"));
        assert_eq!(ids.id_of(1, "u1"), Some("u2"));
    }

    #[test]
    fn one_userid_for_several_people_is_nobodys() {
        let ids = known(&[(0, "x"), (1, "x"), (2, "x"), (3, "y")]);
        assert_eq!([0, 1, 2, 3].map(|user| ids.userid(user)), [None, None, None, Some("y")]);
    }

    #[test]
    fn what_three_looks_in_a_row_cannot_explain_is_learned_anew() {
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
    fn a_userid_that_a_look_cannot_explain_is_asked_for_again() {
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
    fn who_is_watched_anew_gets_the_userid_of_their_earlier_self() {
        let mut ids = known(&[(0, "zero")]);
        ids.remove(ids.owner("zero").unwrap());
        ids.set_userid(7, Some("zero".into()));
        assert_eq!((ids.userid(0), ids.userid(7)), (None, Some("zero")));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        /// SweepIds of both kinds from the same few letters, in any order of looks and answers of the contacts.
        #[test]
        fn nobody_is_taken_for_somebody_else(
            answers in prop::collection::vec((0_u32..5, prop::option::of("[abc]")), 0..12),
            looks in prop::collection::vec((0_u32..5, prop::collection::btree_set("[abc]", 0..3)), 0..20),
        ) {
            let union_ids = ["a", "b", "c", "d", "e"];
            let mut ids: SweepIds<u32> = SweepIds::default();
            let mut answers = answers.into_iter();
            for (user, seats) in looks {
                if let Some((of, userid)) = answers.next() {
                    ids.set_userid(of, userid);
                }
                let before = ids.kind();
                let evidence = ids.record_poll(user, union_ids[user as usize], |id| seats.contains(id));
                if let IdEvidence::Learned(kind) = evidence {
                    prop_assert_eq!((before, ids.kind()), (None, Some(kind)));
                    let id = ids.id_of(user, union_ids[user as usize]);
                    prop_assert!(id.is_some_and(|id| seats.contains(id)), "learned from what stood there");
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
