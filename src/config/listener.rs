//! The types of `[http]` and `[[http.access]]`.
//!
//! Guards: scopes are in the order of what they open. Not here: reading them (`http`), other types (`model`).

use std::net::SocketAddr;

use super::ip_range::IpRange;
use super::secret_source::SecretSource;
use crate::ids::OrgName;

/// `[http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// `None` = off.
    pub listen: Option<SocketAddr>,
    /// `None` = made at the first start, beside the database.
    pub token: Option<SecretSource>,
    /// Accepted host names in addition to the address and `localhost`; without ports.
    pub hosts: Vec<String>,
    /// Where a proxy serves it to others; without a slash at the end.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-*` headers count.
    pub trusted_proxies: Vec<IpRange>,
    /// `[[http.access]]`.
    pub access: Vec<Access>,
    /// A label for each user in metrics.
    pub metrics_per_user: bool,
}

/// `[[http.access]]`: a token that gives others less than the operator's.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Unique.
    pub name: String,
    /// `token`.
    pub token: SecretSource,
    /// What it opens.
    pub scope: Scope,
    /// Only users of these organisations; empty: of all.
    pub orgs: Vec<OrgName>,
    /// Only users in one of these groups; empty: all.
    pub groups: Vec<String>,
    /// How users are shown.
    pub show: Show,
}

/// What a token opens; each one opens what the ones before it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Who is in a meeting now.
    Board,
    /// The history too.
    Viewer,
    /// Webhooks, health and actions too.
    Operator,
}

/// How users are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// By name.
    Names,
    /// By initials, without ids, nicknames and titles.
    Initials,
    /// Not at all: only how many there are.
    Counts,
}
