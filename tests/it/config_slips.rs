//! Secrets that stand where none belongs, because a hand slipped: a hundred ways to mistype one, for every key that has one.
//!
//! Guards: no message of `check`, of the start or of a reload shows any of it, and neither does `config show`. All of them are
//! made of the same problems, so the library is asked. Deliberately not here: what is said instead (`config_messages`).

use std::fmt::Write as _;
use std::path::Path;

use presenced::config::load_in;
use presenced::config::problem::{Problem, Sources, render_one};
use presenced::config::secrets::Env;
use presenced::config::show::show;

use crate::config_folder::{HEAD, ONE_USER};

/// What stands after a key, or in its place.
const SLIPS: &[&str] = &[
    "= hunter2",
    "= \u{201c}hunter2\u{201d}",
    "= \u{2018}hunter2\u{2019}",
    "= 'hunter2'",
    "= \"hunter2\"",
    "= \"hunter2",
    "= hunter2\"",
    "= 'hunter2\"",
    "= \"hunter2'",
    "= `hunter2`",
    "= \u{ab}hunter2\u{bb}",
    "= \u{ff02}hunter2\u{ff02}",
    "= \u{300c}hunter2\u{300d}",
    "= hunter2.more.parts",
    "= \"\"\"hunter2",
    "= \"\"\"hunter2\"\"\"",
    "= '''hunter2'''",
    "= \"\"\"\nhunter2\nhunter2\"\"\"",
    "= \"a\\hunter2\"",
    "= \"\\hunter2\"",
    "= \"\\u00hunter2\"",
    "= \"a\" hunter2",
    "= hunter2 \"a\"",
    "= 'it''hunter2'",
    "= [\"hunter2\"]",
    "= [hunter2]",
    "= [hunter2, 3]",
    "= [\"hunter2\"",
    "= [\"a\", \"hunter2\",",
    "= [[\"hunter2\"]]",
    "= [{ plain = \"hunter2\" }]",
    "= { plain = \"hunter2\" }",
    "= { value = \"hunter2\" }",
    "= { hunter2 = \"x\" }",
    "= { \"hunter2\" = \"x\" }",
    "= { \"hunter2\" }",
    "= { hunter2 }",
    "= { hunter2",
    "= { plain = \"hunter2\"",
    "= { env = \"hunter2!x\" }",
    "= { env = \"hunter2\" }",
    "= { env = hunter2 }",
    "= { env = \"$hunter2\" }",
    "= { env: \"hunter2\" }",
    "= { file = \"hunter2\" }",
    "= { file = hunter2 }",
    "= { file = \"hunter2.txt\" }",
    "= { file = \"hunter2/x\" }",
    "= { file = \"/hunter2\" }",
    "= { file = \"~/hunter2\" }",
    "= { file = \"./hunter2\" }",
    "= { credential = \"hunter2\" }",
    "= { credential = \"hunter2/x\" }",
    "= { credential = \".hunter2\" }",
    "= { credential = \"hunter2 \" }",
    "= { credential = [\"hunter2\"] }",
    "= { command = \"hunter2\" }",
    "= { command = [\"hunter2\"] }",
    "= { command = [hunter2] }",
    "= { command = [\"echo\", \"hunter2\", 3] }",
    "= { file = \"a\", env = \"hunter2\" }",
    "= { env = \"X\" } hunter2",
    "= { env = \"X\", hunter2 }",
    "= { fil = \"hunter2\" }",
    "= { secret = \"hunter2\" }",
    "= { credentials = \"hunter2\" }",
    "= \"${hunter2}\"",
    "= \"$hunter2\"",
    "= \"${hunter2:-hunter2}\"",
    "= $hunter2",
    "= $(hunter2)",
    "= !secret hunter2",
    "= @hunter2",
    "= %hunter2%",
    ": hunter2",
    ": \"hunter2\"",
    "=: hunter2",
    "=> hunter2",
    "== hunter2",
    ":= \"hunter2\"",
    "hunter2",
    "\"hunter2\"",
    ".hunter2 = 1",
    ".hunter2 = \"x\"",
    ".\"hunter2\" = \"x\"",
    ".plain = \"hunter2\"",
    ".a.b = \"hunter2\"",
    "= 1hunter2",
    "= 0xhunter2",
    "= -hunter2",
    "= 2026-hunter2",
    "= 12:hunter2",
    "= truehunter2",
    "= hunter2 # hunter2",
    "= # hunter2",
    "# hunter2",
    "= \"\" # hunter2",
    "= \"a\" # hunter2",
    "= { file = \"hunter\" } # 2",
    "= { env = \"hunter\" } # 2",
    "= \"https://me:hunter2@host.example/\"",
    "= \"https://host.example:hunter2/\"",
    "= \"https://hunter2.example/\"",
    "= \"whsec_hunter2\"",
    "= \"SEChunter2",
    "= Bearer hunter2",
    "= \"Bearer hunter2",
    "= {}hunter2",
    "= { a = { b = \"hunter2\" } }",
    "= \"hunter2\t",
    "= \"\u{200b}hunter2\"",
    "= \"hunter2\u{200b}\"",
    "= \u{ff1d} \"hunter2\"",
    "\u{ff1d} \"hunter2\"",
    "= \"hunter2\"\n= \"hunter2\"",
    "=",
    "= \"a\" = \"hunter2\"",
    "= \"a\", \"hunter2\"",
    "= \"a\"; x = \"hunter2\"",
    "= hunter2 hunter2 hunter2",
    "= (hunter2)",
    "= <hunter2>",
    "= \"hunter2\u{ff48}\"",
    "= \u{ff48}hunter2",
    "= *hunter2*",
    "= {{ hunter2 }}",
    "= [[hunter2]]",
];

const DINGTALK: &str = "[dingtalk]\napp_key = \"k\"\ncalls_per_month = 5000\n";
const WEBHOOK: &str = "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com/\"\n";

/// The keys that have a secret, right or misspelt, and what stands above each.
const KEYS: &[(&str, &str, &str)] = &[
    (DINGTALK, "", "app_secret"),
    (DINGTALK, "", "suite_ticket"),
    (DINGTALK, "", "access_token"),
    (DINGTALK, "", "client_secret"),
    (DINGTALK, "", "app-secret"),
    (DINGTALK, "", "proxy"),
    ("", "", "app_secret"),
    (WEBHOOK, "", "secret"),
    (WEBHOOK, "", "signing_secret"),
    (WEBHOOK, "", "headers"),
    (WEBHOOK, "", "proxy"),
    (WEBHOOK, "[webhook.headers]\n", "X-Auth"),
    (WEBHOOK, "[webhook.headers]\n", "\"Authorization\""),
    ("[webhook_defaults]\n", "", "secret"),
    ("[http]\n", "", "token"),
    ("[http]\n", "", "tokken"),
    ("[http]\n", "", "password"),
];

/// Addresses with a secret in them, whole and broken.
const URLS: &[&str] = &[
    "hunter2",
    "http//hunter2",
    "https:/hunter2",
    "https://a.example/hunter2",
    "https://a.example/?t=hunter2",
    "https://a.example#hunter2",
    "https://me:hunter2@a.example",
    "https://a.example:hunter2",
    "https://a.example:80hunter2/",
    "https://me:hunter2:80/",
    "https://hunter2@a.example",
    "ftp://a.example/hunter2",
    "a.example/hunter2",
    "a.example:hunter2",
    "a.example:80/hunter2",
    " https://a.example/hunter2",
    "https://a b.example/hunter2",
    "https://a.example/hunter2\u{200b}",
    "https:\\\\a.example\\\\hunter2",
    "http://[hunter2]/",
    "https://oapi.dingtalk.com/robot/send?access_token=hunter2",
    "oapi.dingtalk.com/robot/send?access_token=hunter2",
    "https://hooks.slack.com/services/hunter2",
    "socks5://me:hunter2@a.example:1",
    "http://me:hunter2@:1",
    "http://me:hunter2@a.example:99999",
    "http://a.example:hunter2@b",
    "//me:hunter2@b",
    "me:hunter2@b.example",
    "https://\u{5ba2}.example/hunter2",
];

/// Lines that are one, or hold one where a name belongs.
const LINES: &[&str] = &[
    "hunter2",
    "\"hunter2\"",
    "[hunter2]",
    "[[hunter2]]",
    "hunter2 = 1",
    "hunter2 = \"x\"",
    "= hunter2",
    "[dingtalk.hunter2]",
    "[http.\"hunter2\"]",
    "[[webhook.hunter2]]",
    "[hunter2",
    "[[hunter2]",
    "{hunter2}",
    "- hunter2",
    "hunter2:",
    "export TOKEN=hunter2",
    "app_secret=hunter2",
    "token = hunter2 # hunter2",
    "// hunter2",
    "#hunter2",
    "[webhook.headers.hunter2]",
    "[webhook.headers]\nhunter2 = \"x\"",
    "[webhook.headers]\n\"hunter2 x\" = \"x\"",
];

/// Everything that is said about a config, as text and as programs have it; and what `config show` shows.
fn everything(path: &Path, config: &str) -> String {
    std::fs::write(path, config).expect("written");
    match load_in(path, &Env::Fixed(std::collections::BTreeMap::new())) {
        Ok(loaded) => format!("{}{:?}", words(&loaded.warnings, &loaded.sources), show(&loaded)),
        Err(refused) => format!("{refused}{}", words(&refused.problems, &refused.sources)),
    }
}

fn words(problems: &[Problem], sources: &Sources) -> String {
    let mut all = String::new();
    for problem in problems {
        let shown = render_one(problem, sources, ("", ""));
        let _ = writeln!(all, "{shown}{} {:?} {:?}", problem.message, problem.help, problem.aside);
    }
    all
}

/// Fails for each config of which something is said that holds the secret, or the half of it.
#[track_caller]
fn nothing_is_shown(configs: impl Iterator<Item = String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    let mut shown = String::new();
    for config in configs {
        let said = everything(&path, &config);
        if said.contains("hunt") {
            let _ = writeln!(shown, "{config}\n---\n{said}");
        }
    }
    assert!(shown.is_empty(), "{shown}");
}

#[test]
fn no_message_shows_a_mistyped_secret() {
    assert!(SLIPS.len() >= 100, "{}", SLIPS.len());
    nothing_is_shown(KEYS.iter().flat_map(|(table, inner, key)| {
        SLIPS.iter().map(move |slip| {
            let gap = if slip.starts_with('.') { "" } else { " " };
            format!("time_zone = \"UTC\"\n{table}{inner}{key}{gap}{slip}\n{ONE_USER}")
        })
    }));
}

#[test]
fn no_message_shows_more_of_an_address_than_its_host() {
    let hook = "[[webhook]]\nname = \"crm\"\n";
    let keys = [
        (hook, "url"),
        (WEBHOOK, "proxy"),
        (DINGTALK, "proxy"),
        (DINGTALK, "api_base"),
        (DINGTALK, "legacy_base"),
    ];
    nothing_is_shown(keys.iter().flat_map(|(table, key)| {
        URLS.iter().flat_map(move |url| {
            let of = |value: String| format!("time_zone = \"UTC\"\n{table}{key} = {value}\n{ONE_USER}");
            [
                of(format!("\"{url}\"")),
                of((*url).to_owned()),
                of(format!("[\"{url}\"]")),
                of(format!("{{ plain = \"{url}\" }}")),
            ]
        })
    }));
}

#[test]
fn no_message_shows_a_secret_in_place_of_a_line() {
    nothing_is_shown(
        LINES.iter().flat_map(|line| [HEAD, WEBHOOK, ""].map(|before| format!("{before}{line}\n{ONE_USER}"))),
    );
}
