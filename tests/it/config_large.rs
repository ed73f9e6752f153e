//! Configs with thousands of entries, right and wrong: reading one takes a time in proportion to its length.
//!
//! Guards: no list of a config is looked through once for each entry of another. Deliberately not here: how long that is on
//! any machine.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::config_folder::{Folder, HEAD, ONE_USER};

/// A config as long as its number says.
type Long = fn(usize) -> String;

fn entries(count: usize, entry: impl Fn(&mut String, usize)) -> String {
    let mut all = HEAD.to_owned();
    (0..count).for_each(|number| entry(&mut all, number));
    all
}

const LONG: &[(&str, Long)] = &[
    ("one user again and again", |n| entries(n, |all, _| all.push_str(ONE_USER))),
    ("unknown keys in one table", |n| {
        entries(n, |all, at| {
            let head = if at == 0 { ONE_USER } else { "" };
            let _ = writeln!(all, "{head}colour_{at} = 1");
        })
    }),
    ("groups, each with somebody in it", |n| {
        entries(n, |all, at| {
            let _ = write!(all, "[[group]]\nname = \"g{at}\"\ninterval = \"1h\"\n");
            let _ = write!(all, "[[user]]\nunion_id = \"u{at}\"\ngroups = [\"g{at}\"]\n");
        })
    }),
    ("webhooks that name nobody", |n| {
        entries(n, |all, at| {
            let _ = write!(all, "[[user]]\nunion_id = \"u{at}\"\n[[webhook]]\nname = \"h{at}\"\n");
            let _ = write!(
                all,
                "url = \"https://crm.example.com/\"\nusers = [\"nobody-{at}\"]\ngroups = [\"x{at}\"]\n"
            );
        })
    }),
    ("webhooks without an address", |n| {
        entries(n, |all, at| {
            let _ = write!(all, "[[webhook]]\nname = \"h{at}\"\nurl = \"crm.example.com/{at}\"\n");
        })
    }),
    ("organisations and people in others", |n| {
        entries(n, |all, at| {
            let _ =
                write!(all, "[[org]]\nname = \"o{at}\"\n[[user]]\nunion_id = \"u{at}\"\norg = \"x{at}\"\n");
        })
    }),
    ("windows for groups that nobody is in", |n| {
        entries(n, |all, at| {
            let _ = write!(all, "[[window]]\ngroups = [\"x{at}\"]\n[[user]]\nunion_id = \"u{at}\"\n");
        })
    }),
    ("problems on one line", |n| {
        let users = "{ union_id = \"u1\" }, ".repeat(n);
        format!("user = [{users}]\n{HEAD}")
    }),
    ("one long value", |n| HEAD.replace("Asia/Shanghai", &"z".repeat(100 * n))),
];

fn took(config: &str) -> Duration {
    let folder = Folder::new().with("config.toml", config);
    shortest(|| drop(folder.said()))
}

/// The shortest of a few times: what else the machine does only adds to one.
#[expect(clippy::disallowed_methods, reason = "how long reading takes is what is measured")]
fn shortest(work: impl Fn()) -> Duration {
    let time = || {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    (0..3).map(|_| time()).min().unwrap_or_default()
}

#[test]
fn the_effective_config_of_many_groups_takes_time_in_proportion_to_its_length() {
    let took = |count: usize| {
        let text = entries(count, |all, at| {
            let _ = write!(all, "[[group]]\nname = \"g{at}\"\ninterval = \"1h\"\n");
            let _ = write!(all, "[[user]]\nunion_id = \"u{at}\"\ngroups = [\"g{at}\"]\n");
        });
        let loaded = Folder::new().with("config.toml", &text.replace("= 5000", "= 0")).load(&[]);
        let loaded = loaded.unwrap_or_else(|refused| panic!("{refused}"));
        shortest(|| assert!(presenced::config::show::show(&loaded).len() > count))
    };
    let (short, long) = (took(400), took(12 * 400));
    assert!(long < 48 * short.max(Duration::from_millis(2)), "{short:?}, then {long:?}");
}

#[test]
fn twelve_times_as_much_takes_about_twelve_times_as_long() {
    const SHORT: usize = 200;
    for (name, config) in LONG {
        let (short, long) = (took(&config(SHORT)), took(&config(12 * SHORT)));
        // What grows with the square would take 144 times as long.
        assert!(long < 48 * short.max(Duration::from_millis(2)), "{name}: {short:?}, then {long:?}");
    }
}

#[test]
fn the_first_fifty_problems_are_shown_and_the_others_counted() {
    let warnings = "[[webhook]]\nname = \"h\"\nurl = \"https://crm.example.com/\"\nusers = [";
    let mut config = format!("{HEAD}{ONE_USER}{warnings}{}]\n", "\"nobody\", ".repeat(60));
    let said = Folder::new().with("config.toml", &config).said();
    assert_eq!(said.matches("warning: ").count(), 50, "{said}");
    assert!(said.contains("\n... and 10 more problems, 0 of them errors: correct these first\n"), "{said}");
    // An error is shown however late it stands.
    config.push_str("colour = 1\n");
    let folder = Folder::new().with("config.toml", &config);
    let said = folder.said();
    assert_eq!((said.matches("warning: ").count(), said.matches("error: ").count()), (49, 1), "{said}");
    let text = folder.presenced(&["check", "-c", "config.toml"]).stdout;
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("\n... and 11 more problems, 0 of them errors: correct these first\n"), "{text}");
    assert!(text.ends_with("config.toml has 1 error and 60 warnings\n"), "{text}");
    let json = folder.presenced(&["check", "-c", "config.toml", "-o", "json"]).stdout;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(rows.len(), 61);
}
