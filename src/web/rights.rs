//! What a token opens, and how it shows users.
//!
//! Guards: a token without names never gets one, nor an id or a title that could stand for one. Not here: which request has
//! which token (`visitor`).

use crate::config::{Access, Scope, Show};
use crate::ids::OrgName;
use crate::secret::Secret;

/// One token and what it opens.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its name, in cookies and logs; empty: the operator's own token.
    pub(super) name: String,
    pub(super) token: Secret,
    pub(super) scope: Scope,
    pub(super) show: Show,
    orgs: Vec<OrgName>,
    groups: Vec<String>,
}

impl Grant {
    /// Everything.
    pub fn operator(token: Secret) -> Self {
        let (name, orgs, groups) = (String::new(), Vec::new(), Vec::new());
        Self { name, token, scope: Scope::Operator, show: Show::Names, orgs, groups }
    }

    /// Nothing: a request without a token.
    pub(super) fn nothing() -> Self {
        Self { scope: Scope::Board, show: Show::Counts, ..Self::operator(Secret::new("")) }
    }

    /// What an `[[http.access]]` gives to its token.
    pub fn new(access: &Access, token: Secret) -> Self {
        let Access { name, token: _, scope, orgs, groups, show } = access.clone();
        Self { name, token, scope, show, orgs, groups }
    }

    /// Whether it may see a user of this organisation and these groups.
    pub(super) fn allows(&self, org: &str, groups: &[String]) -> bool {
        let in_org = self.orgs.is_empty() || self.orgs.iter().any(|own| own.as_str() == org);
        in_org && (self.groups.is_empty() || self.groups.iter().any(|own| groups.contains(own)))
    }

    /// Whether it sees only some users.
    pub(super) fn is_restricted(&self) -> bool {
        !self.orgs.is_empty() || !self.groups.is_empty()
    }

    /// Whether names, ids, nicknames and titles are shown.
    pub(super) fn shows_names(&self) -> bool {
        self.show == Show::Names
    }

    /// A name as it is shown.
    pub(super) fn shown(&self, name: &str) -> String {
        match self.show {
            Show::Names => name.to_owned(),
            Show::Initials => initials(name),
            Show::Counts => String::new(),
        }
    }
}

/// `Li Wei` is `LW`, `张敏` is `张`.
fn initials(name: &str) -> String {
    let words = name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let initials: String = words.take(2).flat_map(char::to_uppercase).collect();
    if initials.is_empty() { "?".to_owned() } else { initials }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secrets::SecretSource;

    #[test]
    fn initials_are_no_names() {
        for (name, expected) in [
            ("Li Wei", "LW"),
            ("张敏", "张"),
            ("佐藤 由紀", "佐由"),
            ("anna maria keller", "AM"),
            ("-- ", "?"),
        ] {
            assert_eq!(initials(name), expected);
        }
    }

    #[test]
    fn a_user_must_be_in_an_organisation_and_a_group_of_the_token() {
        let access = Access {
            name: "wall".into(),
            token: SecretSource::Plain(Secret::new("t")),
            scope: Scope::Board,
            orgs: vec![OrgName::parse("acme").unwrap()],
            groups: vec!["sales".into()],
            show: Show::Names,
        };
        let grant = Grant::new(&access, Secret::new("t"));
        assert!(grant.is_restricted() && grant.allows("acme", &["it".into(), "sales".into()]));
        assert!(!grant.allows("beta", &["sales".into()]) && !grant.allows("acme", &[]));
        assert!(Grant::operator(Secret::new("t")).allows("beta", &[]));
    }
}
