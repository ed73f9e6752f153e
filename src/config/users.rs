//! Reads `[[group]]` and `[[user]]`: the watched users and their cadence.
//!
//! Guards: a user is in an organisation only once, also across files; the cadence of a user takes precedence over that of
//! their last `[[group]]`, and that over `[poll]`. Not here: whether the calls suffice (`plan`).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::problem::{Place, Problem};
use super::section::{Located, RawValue, Report, Section, ValueError};
use super::{Cadence, User, characters, poll, value};
use crate::ids::{IdError, Identity, OrgName, UnionId};

/// A group as far as the config knows it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Located<String>,
    pub(super) cadence: Option<Located<Cadence>>,
}

/// A user, their place in the file, and the source of their cadence.
#[derive(Debug)]
pub(super) struct UserAt {
    pub(super) user: User,
    /// Place of the cadence; `None`: it is the default.
    pub(super) cadence_place: Option<Place>,
    /// `enabled`.
    pub(super) enabled: bool,
    /// Their `union_id`.
    pub(super) place: Place,
}

/// Reads a name of some kind.
pub(super) fn name<T>(
    raw: RawValue<'_>,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Result<T, ValueError> {
    let text = value::text(raw)?;
    parse(&text).map_err(|error| {
        let help = match error {
            IdError::Empty => "write something".to_owned(),
            IdError::TooLong => format!("at most {} bytes", crate::ids::MAX_ID_BYTES),
            IdError::Character(bad) if bad.is_whitespace() => "remove the white space".to_owned(),
            IdError::Character(_) => "letters, digits, `-`, `_` and `.` are allowed".to_owned(),
        };
        ValueError::new(error.to_string(), help)
    })
}

/// A unionId. It may have any characters, except quotes and full-width letters, which no id of DingTalk has.
fn union_id(raw: RawValue<'_>) -> Result<UnionId, ValueError> {
    let id = name(raw, UnionId::parse)?;
    let is_odd = |c: char| matches!(c, '"' | '\'' | '`' | '“' | '”' | '‘' | '’');
    let odd = characters::full_width(id.as_str()).is_some() || id.as_str().contains(is_odd);
    characters::in_id(id.as_str()).filter(|_| odd).map_or(Ok(id), Err)
}

/// The groups of all files.
pub(super) fn groups(sections: &[Section<'_>], report: &Report) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut seen: HashMap<String, Place> = HashMap::new();
    for section in sections {
        let name = section.take("name", value::some_text);
        if name.is_none() && !section.has("name") {
            let help = "write `name = \"...\"`";
            report.error("missing-key", &section.place, "`name` is missing in [[group]]", help);
        }
        let cadence = poll::cadence(section);
        let Some(name) = name else { continue };
        if let Some(first) = seen.get(&name.value) {
            let message = format!("two groups are named `{}`", name.value);
            let problem =
                Problem::error("duplicate-group", Some(name.place.clone()), message).help("the second");
            report.push(problem.also(first.clone(), "the first"));
        } else {
            seen.insert(name.value.clone(), name.place.clone());
        }
        groups.push(Group { name, cadence });
    }
    groups
}

/// The users of all files, disabled ones too, each with the cadence that holds.
pub(super) fn users(
    sections: &[Section<'_>],
    orgs: &[OrgName],
    groups: &[Group],
    poll: (&Cadence, Option<&Located<Cadence>>),
    report: &Report,
) -> Vec<UserAt> {
    let mut seen: HashMap<Identity, Place> = HashMap::new();
    let known_orgs: HashSet<&OrgName> = orgs.iter().collect();
    // The last table of each name that has a cadence.
    let paced: HashMap<&str, (usize, &Located<Cadence>)> = groups
        .iter()
        .enumerate()
        .filter_map(|(at, group)| Some((group.name.value.as_str(), (at, group.cadence.as_ref()?))))
        .collect();
    let mut users = Vec::new();
    for section in sections {
        let union_id = section.take("union_id", union_id);
        if union_id.is_none() && !section.has("union_id") {
            let help = "write `union_id = \"...\"`";
            report.error("missing-key", &section.place, "`union_id` is missing in [[user]]", help);
        }
        let org = org_of(section, orgs, &known_orgs, report);
        let name = section.take("name", value::some_text);
        let own_groups = section.take_list("groups", false, value::some_text);
        let own_groups: Vec<String> =
            own_groups.map_or_else(Vec::new, |list| list.value.into_iter().map(|spot| spot.value).collect());
        let tags = section.take("tags", tags).map_or_else(BTreeMap::new, |spot| spot.value);
        let cadence = poll::cadence(section);
        let enabled = section.take("enabled", value::flag).is_none_or(|spot| spot.value);
        let (Some(union_id), Some(org)) = (union_id, org) else { continue };
        let identity = Identity { org, union_id: union_id.value };
        if let Some(first) = seen.get(&identity) {
            let message = format!("`{}` is twice in organisation `{}`", identity.union_id, identity.org);
            let problem =
                Problem::error("duplicate-user", Some(union_id.place.clone()), message).help("the second");
            report.push(problem.also(first.clone(), "the first"));
            continue;
        }
        let place = union_id.place;
        seen.insert(identity.clone(), place.clone());
        let of_groups = own_groups.iter().filter_map(|group| paced.get(group.as_str()));
        let inherited = of_groups.max_by_key(|(at, _)| *at).map(|(_, cadence)| *cadence).or(poll.1);
        let held = cadence.as_ref().or(inherited);
        users.push(UserAt {
            place,
            user: User {
                name: name.map_or_else(|| identity.union_id.to_string(), |spot| spot.value),
                identity,
                groups: own_groups,
                tags,
                cadence: held.map_or_else(|| poll.0.clone(), |spot| spot.value.clone()),
            },
            cadence_place: held.map(|spot| spot.place.clone()),
            enabled,
        });
    }
    users
}

/// The organisation of a user: the named one, or the only one.
fn org_of(
    section: &Section<'_>,
    orgs: &[OrgName],
    known: &HashSet<&OrgName>,
    report: &Report,
) -> Option<OrgName> {
    let named = section.take("org", |raw| name(raw, OrgName::parse));
    match (named, orgs) {
        (Some(named), _) if known.contains(&named.value) => Some(named.value),
        (Some(named), _) => {
            let near = report.nearest(named.value.as_str(), orgs.iter().map(OrgName::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", some_of(orgs)),
            };
            let message = format!("there is no organisation `{}`", named.value);
            report.error("unknown-org", &named.place, message, &help);
            None
        }
        (None, _) if section.has("org") => None,
        (None, [only]) => Some(only.clone()),
        (None, []) => None,
        (None, several) => {
            let help = format!("write `org = \"{}\"` (known: {})", several[0], some_of(several));
            let message = "`org` is missing in [[user]]: there are several organisations";
            report.error("missing-key", &section.place, message, &help);
            None
        }
    }
}

/// The first few names.
fn some_of(orgs: &[OrgName]) -> String {
    const SHOWN: usize = 10;
    let mut names: Vec<&str> = orgs.iter().take(SHOWN).map(OrgName::as_str).collect();
    if orgs.len() > SHOWN {
        names.push("…");
    }
    names.join(", ")
}

fn tags(raw: RawValue<'_>) -> Result<BTreeMap<String, String>, ValueError> {
    let example = "for example `{ site = \"HZ\" }`";
    let pairs = raw.pairs().ok_or_else(|| ValueError::new("expected pairs of texts", example))?;
    let text = |(key, raw): (Located<String>, RawValue<'_>)| match value::text(raw) {
        Ok(text) => Ok((key.value, text)),
        Err(error) => Err(ValueError::new(format!("`{}`: {}", key.value, error.message), error.help)),
    };
    pairs.into_iter().map(text).collect()
}
