//! The messages that operators are promised, each from a real file and the real program: text, JSON, exit code.
//!
//! Guards: wording, places and codes that documents and scripts rely on. Deliberately not here: every other mistake
//! (`config_check`).

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::config_folder::{Folder, HEAD, ONE_USER};

/// Enough to be a config, without a word from `check`.
const GOOD: &str = "time_zone = \"Asia/Shanghai\"\n[dingtalk]\napp_key = \"dingabcd\"\n\
    app_secret = { credential = \"app-secret\" }\ncalls_per_month = 5000\n[[user]]\nunion_id = \"u1\"\n";

fn write(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    // A folder of credentials as the unit has it, with one in it.
    let credentials = folder.join("credentials");
    std::fs::create_dir_all(&credentials).expect("made");
    write(&credentials.join("app-secret"), "hush\n", 0o600);
    Command::new(env!("CARGO_BIN_EXE_presenced"))
        .arg("check")
        .args(arguments)
        .current_dir(folder)
        .env_remove("PRESENCED_CONFIG")
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .env("NO_COLOR", "1")
        .output()
        .expect("it runs")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Without the summary at the end, and without what this machine lacks of the usual places.
fn problems(said: &str) -> String {
    let is_summary = |line: &str| {
        let state = [" is fine: ", " can be used, with ", " has "];
        (line.starts_with("config.toml") && state.iter().any(|word| line.contains(word)))
            || line.starts_with("next: ")
            || line.starts_with("that person is polled every ")
            || line.contains("/var/lib/presenced")
    };
    said.split_inclusive('\n').filter(|line| !is_summary(line)).collect()
}

/// What `check` says about a config, and how it ends.
fn said(config: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("config.toml"), config, 0o640);
    let output = check(folder.path(), &[]);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (problems(&text(&output)), output.status.code())
}

#[test]
fn the_example_has_nothing_wrong_but_its_placeholders() {
    for mode in [0o640, 0o644] {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder.path().join("config.toml"), include_str!("../../config.example.toml"), mode);
        let output = check(folder.path(), &["-q"]);
        assert_eq!((text(&output).as_str(), output.status.code()), ("", Some(0)));
        let shown = text(&check(folder.path(), &[]));
        assert_eq!(shown.matches("still").count(), 2, "only its placeholders: {shown}");
    }
}

#[test]
fn a_typing_error() {
    let lines_before = "\n".repeat(25 - GOOD.lines().count());
    let (said, code) = said(&format!("{GOOD}{lines_before}[poll]\nintervall = \"2m\"\n"));
    let expected = "error: unknown key `intervall` in [poll]\n  --> config.toml:27:1\n27 | intervall = \"2m\"\n   \
        | ^^^^^^^^^ did you mean `interval`?\n";
    assert_eq!((said.as_str(), code), (expected, Some(78)));
}

/// Ten people, 198 open hours in an ordinary month.
fn plan(limit: u64) -> String {
    let mut config = GOOD.replace("5000", &limit.to_string());
    let filling = 26 - config.lines().count() - 5;
    let _ = write!(
        config,
        "{}[[window]]\ndays = [\"mon-fri\"]\nfrom = \"09:00\"\nto = \"18:00\"\n[poll]\ninterval = \"1m\"\n",
        "\n".repeat(filling)
    );
    for person in 2..=10 {
        let _ = writeln!(config, "[[user]]\nunion_id = \"u{person}\"");
    }
    config
}

#[test]
fn a_plan_that_needs_more_than_there_is() {
    let (text, code) = said(&plan(5000));
    let expected = "error: this plan needs 118800 calls a month; calls_per_month is 5000\n  --> config.toml:27:12   \
        interval = \"1m\" x 10 users x 198 open hours\n   = fits: interval = \"auto\" (24m), or calls_per_month = 120000\n";
    assert_eq!((text.as_str(), code), (expected, Some(78)));
    // Within a fifth it is a warning, which only `--strict` minds.
    let (text, code) = said(&plan(100_000));
    assert!(
        text.starts_with("warning: this plan needs 118800 calls a month; calls_per_month is 100000\n"),
        "{text}"
    );
    assert_eq!(code, Some(0));
    assert_eq!(said(&plan(120_000)), (String::new(), Some(0)));
}

/// One promised message: what stands in the file, and what is said about it.
struct Promise {
    code: &'static str,
    severity: &'static str,
    /// At the end of a good config.
    more: &'static str,
    /// Each stands in the text.
    said: &'static [&'static str],
}

const PROMISES: &[Promise] = &[
    Promise {
        code: "duplicate-user",
        severity: "error",
        more: "[[user]]\nunion_id = \"u1\"\n",
        said: &[
            "error: `u1` is twice in organisation `default`\n",
            "config.toml:9:12\n 9 | union_id = \"u1\"\n   |            ^^^^ the second\n",
            "config.toml:7:12\n 7 | union_id = \"u1\"\n   |            ^^^^ the first\n",
        ],
    },
    Promise {
        code: "missing-secret",
        severity: "error",
        more: "[http]\ntoken = { credential = \"http-token\" }\n",
        said: &[
            "error: there is no credential `http-token`\n",
            "add `LoadCredential=http-token:/etc/presenced/credentials/http-token` to\n     the unit's [Service]",
        ],
    },
    Promise {
        code: "bad-value",
        severity: "error",
        more: "cron = \"*/20 9-18 * * 1-5\"\n",
        said: &["config.toml:8:8\n", "write `MON-FRI` for `1-5`"],
    },
    Promise {
        code: "bad-value",
        severity: "error",
        more: "interval = \"5M\"\n",
        said: &["months have no fixed length", "`5M` is five months: write `5m`"],
    },
    Promise {
        code: "bad-value",
        severity: "error",
        more: "[history]\nvisits = \"1y\"\n",
        said: &["years have no fixed length", "write `365d`"],
    },
    Promise {
        code: "open-listener",
        severity: "error",
        more: "[http]\nlisten = \"0.0.0.0:8787\"\n",
        said: &[
            "is open to others at 0.0.0.0:8787, and no `token` is set",
            "set `token`, or listen on `127.0.0.1`",
        ],
    },
    Promise {
        code: "bad-template",
        severity: "error",
        more: "[[webhook]]\nname = \"own\"\nurl = \"https://crm.example.com\"\nformat = \"template\"\n\
            template = \"own.j2\"\n",
        said: &["own.j2 fails for meeting.participant_joined: it does not give JSON", "{{ text | json }}"],
    },
    Promise {
        code: "plain-secret",
        severity: "warning",
        more: "[http]\ntoken = \"hunter2\"\n",
        said: &["warning: the secret is plain text in the config\n  --> config.toml:9:9\n"],
    },
    Promise {
        code: "world-readable",
        severity: "warning",
        more: "[http]\ntoken = { file = \"open.txt\" }\n",
        said: &["every user of this machine can read", "open.txt", "chmod o-rwx"],
    },
    Promise {
        code: "kept-as-text",
        severity: "warning",
        more: "name = \"${NAME}\"\n",
        said: &["`${NAME}` is kept as text", "write `{ env = \"NAME\" }`"],
    },
    Promise {
        code: "matches-nobody",
        severity: "warning",
        more: "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com\"\ngroups = [\"ops\"]\n",
        said: &["webhook `crm` names the group `ops`: no user is in it"],
    },
];

#[test]
fn every_promised_message_comes() {
    for Promise { code, severity, more, said } in PROMISES {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        write(&path.join("config.toml"), &format!("{GOOD}{more}"), 0o640);
        write(&path.join("own.j2"), "{\"text\": {{ text }}}", 0o640);
        write(&path.join("open.txt"), "hunter2", 0o644);
        let output = check(path, &[]);
        let shown = text(&output);
        assert!(shown.starts_with(severity), "{code}: {shown}");
        for part in *said {
            assert!(shown.contains(part), "{code} lacks {part:?}:\n{shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
        let is_error = *severity == "error";
        assert_eq!(output.status.code(), Some(if is_error { 78 } else { 0 }), "{code}");
        let output = check(path, &["--strict", "-o", "json"]);
        assert_eq!(output.status.code(), Some(if is_error { 78 } else { 3 }), "{code}");
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let row = rows.iter().find(|row| row["code"] == *code).unwrap_or_else(|| panic!("{code}: {rows:?}"));
        assert_eq!((&row["severity"], &row["file"]), (&(*severity).into(), &"config.toml".into()), "{code}");
        assert!(row["line"].is_number() && row["column"].is_number() && row["message"].is_string(), "{row}");
    }
}

/// Mistakes of the first day: each is said once, with its line and with what to write.
#[test]
fn what_a_hurried_hand_writes_is_answered_with_what_to_write() {
    let hook = |line: &str| format!("{GOOD}[[webhook]]\nname = \"crm\"\n{line}\n");
    for (config, place, said) in [
        (hook("url = \"crm.example.com/hook\""), 10, "write `https://crm.example.com/...`"),
        (hook("url = \"https:/crm.example.com\""), 10, "write `https://crm.example.com`"),
        (
            hook("url = \"https://crm.example.com\"\nsecret = \"abc\""),
            11,
            "`presenced webhook secret new` creates one",
        ),
        (GOOD.replace("union_id", "unionid"), 7, "did you mean `union_id`?"),
        (GOOD.replace("calls_per_month", "calls_per_mont"), 5, "did you mean `calls_per_month`?"),
        (GOOD.replace("Shanghai", "Shanghia"), 1, "did you mean `Asia/Shanghai`?"),
        (format!("{GOOD}cron = \"0 */5 9-18 * * MON-FRI 2026\"\n"), 8, "here are 7"),
        (format!("{GOOD}[history]\nvisits = \"90\"\n"), 9, "`90d`"),
        (format!("{GOOD}name = Li\n"), 8, "write it in quotes: `\"...\"`"),
        (format!("{GOOD}name = “Li”\n"), 8, "these quotes are typographic: write `\"`"),
        (format!("{GOOD}union_id = \"u2\"\n"), 8, "remove one of them, or begin a new table"),
        ("{\"user\": []}".to_owned(), 1, "run `presenced init` to create one"),
        ("poll:\n".to_owned(), 1, "TOML has `key = value`"),
        (GOOD.replace("app_key =", "app_key ＝"), 3, "`＝` (U+FF1D) is full-width: write `=`"),
        (GOOD.replace("[dingtalk]", "［dingtalk］"), 2, "`［` (U+FF3B) is full-width: write `[`"),
        (GOOD.replace("app_key", "\u{3000}app_key"), 3, "U+3000 IDEOGRAPHIC SPACE looks like a blank"),
        (
            GOOD.replace("app_key =", "app_key\u{200b} ="),
            3,
            "U+200B ZERO WIDTH SPACE is invisible: delete it",
        ),
        (format!("{GOOD}[history]\ntime_zone = \"UTC\"\n"), 9, "move `time_zone` to the top of the file"),
        (GOOD.replace('\n', "\r"), 1, "the lines end with a carriage return alone"),
        (
            format!("{GOOD}interval = \"30m\"\n[poll]\nmin_interval = \"1h\"\n"),
            8,
            "the user is polled every 30m all the same: write the intended interval",
        ),
        (
            format!("{GOOD}[[window]]\nfrom = \"09:00\"\nto = \"18:00\"\ngroups = [\"ops\"]\n"),
            7,
            "add a window without `groups`",
        ),
    ] {
        let (shown, _) = self::said(&config);
        assert!(shown.contains(said), "{said:?} is missing:\n{shown}");
        assert!(shown.contains(&format!("  --> config.toml:{place}:")), "line {place}:\n{shown}");
        assert!(!shown.contains("is missing in"), "said twice:\n{shown}");
        let wide = |line: &&str| line.chars().count() > 80 && line.starts_with("   ");
        assert_eq!(shown.lines().find(wide), None, "{shown}");
    }
}

#[test]
fn all_of_them_come_at_once() {
    let mut config = GOOD.to_owned();
    // One table each: what adds to the user, then what opens tables of its own.
    config.push_str("name = \"${NAME}\"\n[[user]]\nunion_id = \"u1\"\ninterval = \"5M\"\n[http]\nlisten = \"0.0.0.0:1\"\n");
    let (shown, code) = said(&config);
    for part in ["kept as text", "is twice", "five months", "open to others"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(code, Some(78));
}

#[test]
fn what_is_shown_fits_a_narrow_terminal() {
    let long = format!("groups = [{}\"ops\", 7]\n", "\"a-group-with-a-long-name\", ".repeat(8));
    let (shown, _) = said(&format!("{GOOD}{long}[http]\ntoken = {{ credential = \"http-token\" }}\n"));
    let excerpts: Vec<&str> = shown.lines().filter(|line| line.contains(" | ")).collect();
    assert!(excerpts.iter().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(shown.contains('…') && shown.contains("\n   = add `LoadCredential="), "{shown}");
    let line = excerpts.iter().position(|line| line.contains('7')).expect("the line");
    let at = excerpts[line].chars().position(|c| c == '7').expect("the value");
    assert_eq!(excerpts[line + 1].chars().nth(at), Some('^'), "{shown}");
}

#[test]
fn the_command_ends_with_the_documented_codes() {
    let own = HEAD.replace("dingxxxx", "dingabcd");
    let clean = Folder::new()
        .with("config.toml", &format!("{own}{ONE_USER}[history]\npath = \"presence.db\"\n"))
        .with("credentials/app-secret", "hush");
    let ended = clean.presenced(&["check", "--strict"]);
    let fine = b"config.toml is fine: 1 person, 0 webhooks; in a full month that person is polled\nevery 9 min\nnext: presenced run\n".to_vec();
    assert_eq!((ended.status.code(), ended.stdout, ended.stderr), (Some(0), fine, Vec::new()));
    let quiet = clean.presenced(&["check", "-q"]);
    assert_eq!((quiet.status.code(), quiet.stdout), (Some(0), Vec::new()));

    let warned = Folder::new()
        .with("config.toml", &format!("{own}[history]\npath = \"presence.db\"\n"))
        .with("credentials/app-secret", "hush");
    assert_eq!(warned.presenced(&["check"]).status.code(), Some(0));
    assert_eq!(warned.presenced(&["check", "--strict"]).status.code(), Some(3));

    let wrong = Folder::new().with("other.toml", &format!("{HEAD}{ONE_USER}[poll]\nintervall = \"2m\"\n"));
    let ended = wrong.presenced(&["-c", "other.toml", "check"]);
    assert_eq!(ended.status.code(), Some(78));
    insta::assert_snapshot!(String::from_utf8(ended.stdout).expect("text"));
    let ended = wrong.presenced(&["check", "-c", "other.toml", "-o", "json"]);
    assert_eq!(ended.status.code(), Some(78));
    insta::assert_snapshot!(String::from_utf8(ended.stdout).expect("text"));

    let ended = Command::new(env!("CARGO_BIN_EXE_presenced"))
        .arg("check")
        .current_dir(wrong.path())
        .env("PRESENCED_CONFIG", "other.toml")
        .output()
        .expect("it runs");
    assert_eq!(ended.status.code(), Some(78));
    assert!(String::from_utf8(ended.stdout).expect("text").contains("other.toml:9:1"));

    let ended = wrong.presenced(&["-c", "absent.toml", "check"]);
    assert_eq!(ended.status.code(), Some(78));
    assert!(String::from_utf8(ended.stdout).expect("text").contains("absent.toml cannot be read"));
}

/// `check` of a config, with this `TZ`.
fn said_with_tz(config: &str, tz: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("config.toml"), config, 0o640);
    let credentials = folder.path().join("credentials");
    std::fs::create_dir_all(&credentials).expect("made");
    write(&credentials.join("app-secret"), "hush\n", 0o600);
    let output = Command::new(env!("CARGO_BIN_EXE_presenced"))
        .args(["check", "-c", "config.toml"])
        .current_dir(folder.path())
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .env("NO_COLOR", "1")
        .env("TZ", tz)
        .output()
        .expect("it runs");
    (problems(&text(&output)), output.status.code())
}

#[test]
fn a_tz_that_is_no_iana_name_is_an_error_only_where_no_time_zone_is_set() {
    let (_, without) = GOOD.split_once('\n').expect("the line of the zone");
    for tz in ["CST-8", "Nonsense/Zone"] {
        let (said, code) = said_with_tz(without, tz);
        let expected =
            format!("error: the environment variable TZ is `{tz}`, which is not an IANA time zone\n");
        assert!(said.starts_with(&expected) && said.contains("`time_zone`"), "{said}");
        assert_eq!(code, Some(78));
        let local = said_with_tz(&format!("time_zone = \"local\"\n{without}"), tz);
        assert!(local.0.contains(&format!("the environment variable TZ is `{tz}`")), "{local:?}");
        assert_eq!(said_with_tz(GOOD, tz), (String::new(), Some(0)));
    }
    assert_eq!(said_with_tz(without, ":Asia/Shanghai"), (String::new(), Some(0)));
}

#[test]
fn a_zone_west_of_greenwich_that_looks_like_china_is_warned_of() {
    let (_, without) = GOOD.split_once('\n').expect("the line of the zone");
    let warning = "warning: `Etc/GMT+8` is 8 h behind UTC: the sign in such names is reversed\n";
    let (by_environment, code) = said_with_tz(without, "Etc/GMT+8");
    assert!(by_environment.starts_with(warning) && code == Some(0), "{by_environment}");
    let written = GOOD.replacen("Asia/Shanghai", "Etc/GMT+8", 1);
    let (said, code) = said(&written);
    assert!(said.starts_with(&format!("{warning}  --> config.toml:1:13\n")), "{said}");
    assert!(said.contains("write `Etc/GMT-8`; China's is `Asia/Shanghai`") && code == Some(0), "{said}");
    let month = GOOD.replacen("calls_per", "month_time_zone = \"Etc/GMT+8\"\ncalls_per", 1);
    assert!(self::said(&month).0.contains(warning));
    let right = GOOD.replacen("Asia/Shanghai", "Etc/GMT-8", 1);
    assert_eq!(self::said(&right), (String::new(), Some(0)));
}

#[test]
fn a_file_that_is_not_utf8_is_named_with_line_column_and_what_to_do() {
    let gbk = [GOOD.as_bytes(), b"name = \"\xc0\xee\"\n"].concat();
    let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (bytes, encoding, place) in [(gbk, "GB18030", "8:9"), (utf16, "UTF-16BE", "1:1")] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.toml"), &bytes).expect("written");
        let output = check(folder.path(), &[]);
        let expected = format!(
            "error: config.toml is not UTF-8; it looks like {encoding}\n  --> config.toml:{place}\n   = save it as UTF-8; "
        );
        assert!(text(&output).starts_with(&expected), "{}", text(&output));
        assert_eq!(output.status.code(), Some(78));
        let main = format!("{GOOD}[watch]\ninclude = [\"more.toml\"]\n");
        std::fs::write(folder.path().join("config.toml"), main).expect("written");
        std::fs::write(folder.path().join("more.toml"), &bytes).expect("written");
        let included = text(&check(folder.path(), &[]));
        let expected =
            format!("error: more.toml is not UTF-8; it looks like {encoding}\n  --> more.toml:{place}\n");
        assert!(included.contains(&expected), "{included}");
    }
}
