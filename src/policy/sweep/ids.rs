//! By which ids sweeps name people: unionIds, or the userids of the organisation's contacts; learned from looks.
//!
//! Guards: only a look that saw somebody inside the very meeting teaches anything; once a kind is learned people are
//! found by that kind alone, so an id of one kind that reads like somebody's id of the other kind never stands for them;
//! two people never have one userid. Deliberately not here: asking the contacts (`tasks`), whether sweeps are believed
//! (`trust`).

use std::collections::{BTreeMap, BTreeSet};

/// So many looks in a row that the learned kind cannot explain, and it is learned anew.
const UNEXPLAINED: u32 = 3;

/// A kind of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What looks ask by.
    UnionId,
    /// What the organisation's contacts know people by.
    Userid,
}

impl Kind {
    /// As the database and people have it.
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
pub enum Lesson {
    /// Nothing new.
    Nothing,
    /// Sweeps name people by this.
    Learned(Kind),
    /// The contacts should be asked for this person's userid.
    Ask,
    /// Neither id stands there.
    Stranger,
    /// What was learned does not hold any more.
    Forgotten,
}

/// What is known of an organisation's ids; `K` is a user's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids<K> {
    kind: Option<Kind>,
    /// By person; `None`: the contacts do not have them.
    userids: BTreeMap<K, Option<String>>,
    /// The other way round.
    owners: BTreeMap<String, K>,
    /// Their userid is known, and a look could not be explained by it: perhaps they have another one now.
    doubted: BTreeSet<K>,
    unexplained: u32,
    refused: bool,
}

impl<K: Copy + Ord> Ids<K> {
    /// What to look for in a sweep; `None`: sweeps cannot tell of this person. Before anything is learned it is the
    /// unionId, and then nothing that follows is believed.
    pub fn id_of<'a>(&'a self, person: K, union_id: &'a str) -> Option<&'a str> {
        match self.kind {
            None | Some(Kind::UnionId) => Some(union_id),
            Some(Kind::Userid) => self.userid(person),
        }
    }

    /// A look saw `person` inside a meeting that a sweep listed shortly before. `stands`: whether an id stands inside
    /// that meeting in that sweep.
    pub fn note(&mut self, person: K, union_id: &str, stands: impl Fn(&str) -> bool) -> Lesson {
        let by_union_id = stands(union_id);
        let by_userid = self.userid(person).is_some_and(|userid| userid != union_id && stands(userid));
        let explained = match (self.kind, by_union_id, by_userid) {
            (None, true, false) => return self.learn(Kind::UnionId),
            (None, false, true) => return self.learn(Kind::Userid),
            // Both stand there: one of them is somebody else.
            (None, true, true) => return Lesson::Nothing,
            (None, false, false) if self.may_ask(person) => return Lesson::Ask,
            (None, false, false) => return Lesson::Stranger,
            (Some(Kind::UnionId), there, _) => there,
            (Some(Kind::Userid), _, there) => match self.userids.get(&person) {
                Some(Some(_)) => there,
                Some(None) => return Lesson::Nothing,
                None if self.refused => return Lesson::Nothing,
                None => return Lesson::Ask,
            },
        };
        self.unexplained = if explained { 0 } else { self.unexplained + 1 };
        if self.unexplained == UNEXPLAINED {
            (self.kind, self.unexplained) = (None, 0);
            return Lesson::Forgotten;
        }
        if explained || self.kind == Some(Kind::UnionId) || self.refused {
            return Lesson::Nothing;
        }
        self.doubted.insert(person);
        Lesson::Ask
    }

    fn learn(&mut self, kind: Kind) -> Lesson {
        (self.kind, self.unexplained) = (Some(kind), 0);
        Lesson::Learned(kind)
    }

    /// What the contacts say of somebody's userid; `None`: they do not have them. Who would share one has none.
    pub fn know(&mut self, person: K, userid: Option<String>) {
        self.forget(person);
        let Some(userid) = userid else {
            self.userids.insert(person, None);
            return;
        };
        if let Some(other) = self.owners.insert(userid.clone(), person).filter(|other| *other != person) {
            self.userids.insert(other, None);
            self.userids.insert(person, None);
            // Stays owned, so that a third one gets none either.
            return;
        }
        self.userids.insert(person, Some(userid));
    }

    /// Somebody is not watched any more.
    pub fn forget(&mut self, person: K) {
        self.doubted.remove(&person);
        if let Some(Some(old)) = self.userids.remove(&person) {
            self.owners.remove(&old);
        }
    }

    /// Whose userid that is.
    pub fn owner(&self, userid: &str) -> Option<K> {
        self.owners.get(userid).copied()
    }

    /// Somebody's userid, where it is known.
    pub fn userid(&self, person: K) -> Option<&str> {
        self.userids.get(&person)?.as_deref()
    }

    /// The learned kind.
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// What was learned by an earlier process.
    pub fn recall(&mut self, kind: Option<Kind>) {
        self.kind = kind;
    }

    /// The contacts were not asked about this person yet, or what they said is in doubt; and they answer.
    pub fn may_ask(&self, person: K) -> bool {
        !self.refused && (!self.userids.contains_key(&person) || self.doubted.contains(&person))
    }

    /// Whether a look at `person` could teach the kind.
    pub fn may_learn(&self, person: K) -> bool {
        self.kind.is_none() && (self.may_ask(person) || self.userid(person).is_some())
    }

    /// The contacts may not be read. Gives back whether that is new.
    pub fn refuse(&mut self) -> bool {
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

    fn known(people: &[(u32, &str)]) -> Ids<u32> {
        let mut ids: Ids<u32> = Ids::default();
        for (person, userid) in people {
            ids.know(*person, Some((*userid).to_owned()));
        }
        ids
    }

    #[test]
    fn a_unionid_that_stands_there_settles_it() {
        let mut ids: Ids<u32> = Ids::default();
        assert_eq!(ids.note(0, "u0", |id| id == "u0"), Lesson::Learned(Kind::UnionId));
        assert_eq!(ids.id_of(1, "u1"), Some("u1"));
    }

    #[test]
    fn else_the_contacts_are_asked_and_a_userid_that_stands_there_settles_it() {
        let mut ids: Ids<u32> = Ids::default();
        assert_eq!(ids.note(0, "u0", |id| id == "zero"), Lesson::Ask);
        ids.know(0, Some("zero".into()));
        assert_eq!(ids.note(0, "u0", |id| id == "zero"), Lesson::Learned(Kind::Userid));
        assert_eq!(ids.id_of(0, "u0"), Some("zero"));
        assert_eq!(ids.id_of(1, "u1"), None, "nothing is said of who is not known");
        assert_eq!(ids.note(1, "u1", |_| false), Lesson::Ask);
    }

    #[test]
    fn neither_id_and_nobody_to_ask_teach_nothing() {
        let mut ids = known(&[(0, "zero")]);
        ids.know(1, None);
        assert_eq!(ids.note(0, "u0", |_| false), Lesson::Stranger);
        assert_eq!(ids.note(1, "u1", |_| false), Lesson::Stranger);
        assert!(ids.refuse() && !ids.refuse());
        assert_eq!(ids.note(2, "u2", |_| false), Lesson::Stranger);
        assert!(!ids.may_learn(2) && !ids.may_learn(1) && ids.may_learn(0));
        assert_eq!(ids.kind(), None);
    }

    #[test]
    fn both_ids_in_one_meeting_teach_nothing() {
        let mut ids = known(&[(0, "zero")]);
        assert_eq!(ids.note(0, "u0", |_| true), Lesson::Nothing);
        let mut same = known(&[(0, "u0")]);
        assert_eq!(same.note(0, "u0", |_| true), Lesson::Learned(Kind::UnionId), "they are one id");
    }

    #[test]
    fn a_userid_that_reads_like_a_unionid_stands_for_its_owner_alone() {
        let mut ids = known(&[(0, "zero"), (1, "u2"), (2, "two")]);
        ids.note(0, "u0", |id| id == "zero");
        assert_eq!(ids.id_of(2, "u2"), Some("two"));
        assert_eq!(ids.id_of(1, "u1"), Some("u2"));
    }

    #[test]
    fn one_userid_for_several_people_is_nobodys() {
        let ids = known(&[(0, "x"), (1, "x"), (2, "x"), (3, "y")]);
        assert_eq!([0, 1, 2, 3].map(|person| ids.userid(person)), [None, None, None, Some("y")]);
    }

    #[test]
    fn what_three_looks_in_a_row_cannot_explain_is_learned_anew() {
        let mut ids = known(&[(0, "zero")]);
        ids.note(0, "u0", |id| id == "u0");
        let other = |id: &str| id == "zero";
        assert_eq!(
            [(); 3].map(|()| ids.note(0, "u0", other)),
            [Lesson::Nothing, Lesson::Nothing, Lesson::Forgotten]
        );
        assert_eq!(ids.note(0, "u0", other), Lesson::Learned(Kind::Userid));
        for there in [false, false, true, false, false] {
            let lesson = ids.note(0, "u0", |id| there && id == "zero");
            assert_eq!(lesson, if there { Lesson::Nothing } else { Lesson::Ask });
        }
        assert_eq!(ids.kind(), Some(Kind::Userid));
    }

    #[test]
    fn a_userid_that_a_look_cannot_explain_is_asked_for_again() {
        let mut ids = known(&[(0, "zero"), (1, "one")]);
        ids.note(1, "u1", |id| id == "one");
        assert_eq!(ids.note(0, "u0", |id| id == "null"), Lesson::Ask);
        assert_eq!(ids.id_of(0, "u0"), Some("zero"), "until the contacts say otherwise");
        assert!(ids.may_ask(0));
        ids.know(0, Some("null".into()));
        assert!(!ids.may_ask(0));
        assert_eq!((ids.id_of(0, "u0"), ids.owner("zero")), (Some("null"), None));
        assert_eq!(ids.note(0, "u0", |id| id == "null"), Lesson::Nothing);
    }

    #[test]
    fn who_is_watched_anew_gets_the_userid_of_their_earlier_self() {
        let mut ids = known(&[(0, "zero")]);
        ids.forget(ids.owner("zero").unwrap());
        ids.know(7, Some("zero".into()));
        assert_eq!((ids.userid(0), ids.userid(7)), (None, Some("zero")));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        /// Ids of both kinds from the same few letters, in any order of looks and answers of the contacts.
        #[test]
        fn nobody_is_taken_for_somebody_else(
            answers in prop::collection::vec((0_u32..5, prop::option::of("[abc]")), 0..12),
            looks in prop::collection::vec((0_u32..5, prop::collection::btree_set("[abc]", 0..3)), 0..20),
        ) {
            let union_ids = ["a", "b", "c", "d", "e"];
            let mut ids: Ids<u32> = Ids::default();
            let mut answers = answers.into_iter();
            for (person, seats) in looks {
                if let Some((of, userid)) = answers.next() {
                    ids.know(of, userid);
                }
                let before = ids.kind();
                let lesson = ids.note(person, union_ids[person as usize], |id| seats.contains(id));
                if let Lesson::Learned(kind) = lesson {
                    prop_assert_eq!((before, ids.kind()), (None, Some(kind)));
                    let id = ids.id_of(person, union_ids[person as usize]);
                    prop_assert!(id.is_some_and(|id| seats.contains(id)), "learned from what stood there");
                }
                let mut found: Vec<&str> =
                    (0..5).filter_map(|person| ids.id_of(person, union_ids[person as usize])).collect();
                found.sort_unstable();
                let all = found.len();
                found.dedup();
                prop_assert_eq!(found.len(), all, "one id stands for two people");
            }
        }
    }
}
