//! Values of a webhook whose place is needed to check them against other keys.
//!
//! Guards: nothing; it is data. Not here: reading them (`super`).

use crate::config::Format;
use crate::config::recipients::Filters;
use crate::config::secret_source::SecretSource;
use crate::config::section::Located;
use crate::ids::OrgName;

#[derive(Debug)]
pub(super) struct Keys {
    pub(super) format: Located<Format>,
    pub(super) secrets: Vec<Located<SecretSource>>,
    pub(super) users: Vec<Located<String>>,
    pub(super) groups: Vec<Located<String>>,
    pub(super) orgs: Vec<Located<OrgName>>,
    pub(super) proxy: Option<Located<String>>,
    pub(super) template: Option<Located<String>>,
    pub(super) titles: Located<bool>,
}

impl Keys {
    pub(super) fn filters(&self) -> Filters<'_> {
        Filters { users: &self.users, groups: &self.groups, orgs: &self.orgs }
    }
}
