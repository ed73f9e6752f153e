//! Erases a person's names from the titles of meetings, and the person as their creator.
//!
//! Guards: a name is erased in every title and in every event that tells the title; a part of another word stays.
//! Deliberately not here: the person's own rows (`erase`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::SqliteConnection;

use super::{StoreError, checksum};
use crate::ids::Identity;

const NAMES: &str = "SELECT name FROM people WHERE person_id = ?1 AND name <> union_id \
    UNION SELECT nick FROM visits WHERE person_id = ?1 AND nick IS NOT NULL";
const TITLES: &str = "SELECT conference_id, title FROM meetings WHERE org = ?1 AND title IS NOT NULL";
const RENAME: &str = "UPDATE meetings SET title = ?3 WHERE org = ?1 AND conference_id = ?2";
const CREATOR: &str = "UPDATE meetings SET creator_union_id = NULL WHERE org = ?1 AND creator_union_id = ?2";
const EVENTS: &str = "SELECT sequence, id, body FROM events \
    WHERE org = ?1 AND conference_id = ?2 AND instr(body, ?3) > 0";
const REWRITE: &str = "UPDATE events SET body = ?2, checksum = ?3 WHERE sequence = ?1";

/// What stands in place of a name.
const ERASED: &str = "(erased)";
/// A name of one Latin letter is no name of anybody.
const SHORTEST_BYTES: usize = 2;

/// Runs inside the caller's transaction, before the rows with the names are deleted.
pub(super) async fn erase(
    connection: &mut SqliteConnection,
    who: &Identity,
    person_id: i64,
) -> Result<(), StoreError> {
    let org = who.org.as_str();
    sqlx::query(CREATOR).bind(org).bind(who.union_id.as_str()).execute(&mut *connection).await?;
    let mut names: Vec<String> =
        sqlx::query_scalar(NAMES).bind(person_id).fetch_all(&mut *connection).await?;
    names.push(who.union_id.as_str().to_owned());
    names.retain(|name| name.len() >= SHORTEST_BYTES);
    let titles: Vec<(String, String)> = sqlx::query_as(TITLES).bind(org).fetch_all(&mut *connection).await?;
    for (conference, title) in titles {
        let renamed = names.iter().fold(title.clone(), |title, name| without(&title, name));
        if renamed == title {
            continue;
        }
        let rename = sqlx::query(RENAME).bind(org).bind(&conference).bind(&renamed);
        rename.execute(&mut *connection).await?;
        rewrite_events(connection, (org, &conference), (&title, &renamed)).await?;
    }
    Ok(())
}

/// Events of other users that tell the title.
async fn rewrite_events(
    connection: &mut SqliteConnection,
    (org, conference): (&str, &str),
    (title, renamed): (&str, &str),
) -> Result<(), StoreError> {
    let member = |title: &str| Ok::<_, StoreError>(format!("\"title\":{}", serde_json::to_string(title)?));
    let (old, new) = (member(title)?, member(renamed)?);
    let events: Vec<(i64, String, String)> =
        sqlx::query_as(EVENTS).bind(org).bind(conference).bind(&old).fetch_all(&mut *connection).await?;
    for (sequence, id, body) in events {
        let body = body.replace(&old, &new);
        let checksum = checksum::of_event(&id, body.as_bytes());
        let rewrite = sqlx::query(REWRITE).bind(sequence).bind(body).bind(checksum);
        rewrite.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The title without the name, whatever its case; a Latin letter or a digit beside it makes it a part of another word.
fn without(title: &str, name: &str) -> String {
    let title: Vec<char> = title.chars().collect();
    let name: Vec<char> = name.trim().chars().collect();
    let same = |a: char, b: char| a == b || a.to_lowercase().eq(b.to_lowercase());
    let joined = |a: Option<&char>, b: Option<&char>| {
        a.zip(b).is_some_and(|(a, b)| a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric())
    };
    let (mut left, mut at) = (String::new(), 0);
    while at < title.len() {
        let rest = &title[at..];
        let here = !name.is_empty()
            && rest.len() >= name.len()
            && rest.iter().zip(&name).all(|(a, b)| same(*a, *b))
            && !joined(at.checked_sub(1).and_then(|before| title.get(before)), name.first())
            && !joined(name.last(), rest.get(name.len()));
        if here {
            left.push_str(ERASED);
            at += name.len();
        } else {
            left.push(title[at]);
            at += 1;
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_and_other_words_stay() {
        for (title, name, left) in [
            ("1:1 with Li Wei", "Li Wei", "1:1 with (erased)"),
            ("LI WEI / Anna", "Li Wei", "(erased) / Anna"),
            ("和李伟的周会", "李伟", "和(erased)的周会"),
            ("Delivery, Li", "Li", "Delivery, (erased)"),
            ("Weekly", "Li Wei", "Weekly"),
            ("Li Weimin", "Li Wei", "Li Weimin"),
            ("Zoë ZOË", "zoë", "(erased) (erased)"),
        ] {
            assert_eq!(without(title, name), left);
        }
    }
}
