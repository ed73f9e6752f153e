//! `--group` and `--org` of commands that read the history.
//!
//! Guards: a name that the config does not have is an error, not an empty answer. Not here: finding one user
//! (`open_readonly`).

use std::collections::BTreeSet;

use super::open_readonly::Session;
use super::{Exit, Failure};
use crate::store::history::Filter;

/// Options that narrow an answer to some users.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct FilterArgs {
    /// Show only users of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Show only users of this organisation
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
}

impl FilterArgs {
    /// The filter for one user, or for all users of the group and the organisation.
    pub(super) async fn filter(self, session: &Session, who: Option<&str>) -> anyhow::Result<Filter> {
        let orgs = session.config.orgs.iter().map(|org| org.name.as_str());
        known("organisation", self.org.as_deref(), orgs)?;
        let groups: BTreeSet<&str> =
            session.config.users.iter().flat_map(|user| user.groups.iter().map(String::as_str)).collect();
        known("group with users", self.group.as_deref(), groups.iter().copied())?;
        let person_id = match who {
            Some(who) => Some(session.person(who).await?.person_id),
            None => None,
        };
        Ok(Filter { person_id, org: self.org, group: self.group })
    }

    /// Whether anything is left out.
    pub(super) fn is_set(&self) -> bool {
        self.group.is_some() || self.org.is_some()
    }
}

fn known<'a>(
    what: &str,
    name: Option<&str>,
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Failure> {
    match name {
        Some(name) if names.clone().all(|known| known != name) => {
            let has: Vec<&str> = names.by_ref().collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            Err(Failure::new(Exit::Nothing, format!("there is no {what} `{name}`; the config has {has}")))
        }
        _ => Ok(()),
    }
}
