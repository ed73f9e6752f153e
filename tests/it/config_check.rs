//! What `check` says about configs with every family of mistakes, word for word.
//!
//! Guards: all problems at once, each with its place, and no secret in any. Deliberately not here: messages that are
//! promised (`config_messages`), what a config without mistakes comes to (`config_reading`).

use crate::config_folder::{Folder, HEAD, ONE_USER, said, said_with};

#[test]
fn a_clean_file_is_silent() {
    assert_eq!(said_with(""), "-- accepted\n");
}

#[test]
fn syntax_errors_do_not_hide_the_rest() {
    insta::assert_snapshot!(said(
        "[poll]\ninterval = \nintervall = \"2m\"\n[poll]\nrate = 1\n[[user]]\nunion_id = \"u\napp_secret = \"hunter2\n"
    ));
}

#[test]
fn an_empty_file_lacks_what_is_required() {
    insta::assert_snapshot!(said(""));
}

#[test]
fn unknown_keys_are_named_with_what_was_meant() {
    insta::assert_snapshot!(said_with(
        r#"tag = { site = "HZ" }
min_interval = "1m"
[poll]
intervall = "2m"
stale_aftr = "5m"
[poll.backoff]
fctor = 2.0
[history]
colour = "blue"
time_zone = "UTC"
[history.backup]
keeep = 3
[webhooks]
name = "crm"
"#
    ));
}

#[test]
fn values_of_the_wrong_kind() {
    insta::assert_snapshot!(said_with(
        r#"groups = "ops"
enabled = "yes"
tags = { floor = 3 }
[poll]
leave_after_misses = "2"
min_interval = 30
confirm_calls = 1
first_poll = "Silent"
sweep = "never"
max_interval = "1 fortnight"
stale_after = "30"
[poll.backoff]
factor = 0.5
initial = "1h"
[privacy]
store_nick = "no"
[log]
level = "inof"
format = "jsn"
[history]
snapshots = "always"
visits = true
[history.backup]
keep = 0
"#
    ));
}

#[test]
fn months_and_years_are_no_durations() {
    insta::assert_snapshot!(said_with(
        "[poll]\ninterval = \"5M\"\nmax_interval = \"1 month\"\n[history]\nvisits = \"1y\"\n"
    ));
}

#[test]
fn there_are_no_hidden_floors() {
    let text = format!(
        "{HEAD}rate = 10000\ntimeout = \"100ms\"\n{ONE_USER}[poll]\nmin_interval = \"100ms\"\nleave_after_misses = 1\n\
         overtime = \"2h\"\n[poll.backoff]\ninitial = \"1ms\"\nmax = \"1ms\"\nfactor = 1\n"
    );
    assert_eq!(said(&text), "-- accepted\n");
}

#[test]
fn zones_and_sites_and_addresses() {
    insta::assert_snapshot!(said(
        r#"time_zone = "Asia/Shangai"
[dingtalk]
site = "Mainland"
app = "thirdparty"
app_key = ""
app_secret = { fil = "x" }
api_base = "http://api.dingtalk.io"
legacy_base = "https://me:pw@oapi.dingtalk.io"
calls_per_month = -1
month_time_zone = "Beijing"
rate = 0
concurrency = 0
proxy = "socks5://127.0.0.1:1"
ca_file = "ca.pem"
[http]
listen = "8787"
[[user]]
union_id = "u 1"
"#
    ));
}

#[test]
fn a_template_that_is_named_as_a_format_is_answered_with_both_keys() {
    let said =
        said_with("[[webhook]]\nname = \"chat\"\nurl = \"https://hooks.example.com/\"\nformat = \"slack\"\n");
    assert!(said.contains("write `format = \"template\"` and `template = \"slack\"`"), "{said}");
    let said = said_with(
        "[[webhook]]\nname = \"chat\"\nurl = \"https://hooks.example.com/\"\nformat = \"template\"\ntemplate = \"slack\"\n",
    );
    assert_eq!(said, "-- accepted\n");
}

#[test]
fn a_webhook_is_not_kept_to_public_addresses_through_a_proxy() {
    let said = said_with(
        "[webhook_defaults]\nproxy = \"http://proxy:3128\"\n[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com\"\nnetwork = \"public\"\n",
    );
    assert!(said.contains("cannot be used with `proxy`"), "{said}");
}

#[test]
fn http_is_for_loopback() {
    let of = |base: &str| said(&format!("{HEAD}api_base = \"{base}\"\nlegacy_base = \"{base}\"\n{ONE_USER}"));
    for base in
        ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080", "https://x.example.com"]
    {
        assert_eq!(of(base), "-- accepted\n", "{base}");
    }
    assert!(of("http://10.0.0.1").ends_with("-- refused\n"));
}

/// The contacts are asked with a token of the API's host: they must not stay behind unsaid.
#[test]
fn another_host_for_the_api_alone_leaves_the_contacts_where_they_were() {
    let of = |keys: &str| said(&format!("{HEAD}{keys}{ONE_USER}"));
    insta::assert_snapshot!(of("api_base = \"https://dingtalk.corp.example.com/real\"\n"));
    insta::assert_snapshot!(of("api_base = \"https://api.dingtalk.com\"\n"));
    for silent in [
        "api_base = \"https://api.dingtalk.io/\"\n",
        "site = \"mainland\"\napi_base = \"https://api.dingtalk.com\"\n",
        "api_base = \"http://127.0.0.1:1\"\nlegacy_base = \"http://127.0.0.1:1\"\n",
        "api_base = \"http://127.0.0.1:1\"\nlegacy_base = \"https://oapi.dingtalk.io\"\n",
    ] {
        assert_eq!(of(silent), "-- accepted\n", "{silent}");
    }
    // One line for the host that several share, and none for an organisation that names both.
    let orgs = "[[org]]\nname = \"a\"\n[[org]]\nname = \"b\"\n[[org]]\nname = \"c\"\nlegacy_base = \"http://127.0.0.1:1\"\n";
    let said = of(&format!("api_base = \"http://127.0.0.1:1\"\n{orgs}"));
    assert_eq!(said.matches("`user find` still calls").count(), 1, "{said}");
    // What is wrong is said once.
    let said = of("api_base = \"http://127.0.0.1:1\"\nlegacy_base = 7\n");
    assert!(said.contains("`legacy_base` in [dingtalk]") && !said.contains("warning"), "{said}");
}

#[test]
fn a_listener_for_others_needs_a_token() {
    insta::assert_snapshot!(said_with("[http]\nlisten = \"0.0.0.0:8787\"\n"));
    let with_token = "[http]\nlisten = \"0.0.0.0:8787\"\ntoken = { credential = \"http-token\" }\n";
    let said = said_with(with_token);
    assert!(said.contains("without TLS") && said.ends_with("-- accepted\n"), "{said}");
    let behind_tls = format!("{with_token}public_url = \"https://presenced.example.com/\"\n");
    assert_eq!(said_with(&behind_tls), "-- accepted\n");
    assert_eq!(said_with("[http]\nlisten = \"\"\n"), "-- accepted\n");
}

#[test]
fn each_kind_of_app_needs_its_keys() {
    insta::assert_snapshot!(said(
        r#"time_zone = "UTC"
[dingtalk]
app_key = "suite"
[[org]]
name = "internal"
calls_per_month = 1
[[org]]
name = "third"
app = "third_party"
calls_per_month = 1
[[org]]
name = "token"
app = "token"
[[org]]
name = "third"
[[org]]
calls_per_month = 1
[[user]]
union_id = "u1"
[[user]]
union_id = "u2"
org = "tokn"
"#
    ));
}

#[test]
fn people_twice_are_named_with_both_places() {
    let text = format!(
        "{HEAD}{ONE_USER}name = \"Li Wei\"\n[[user]]\nunion_id = \"u1\"\n[[group]]\nname = \"ops\"\n"
    );
    let folder = Folder::new()
        .with("config.toml", &text)
        .with(
            "watch.d/10-ops.toml",
            "[[user]]\nunion_id = \"u1\"\n[[group]]\nname = \"ops\"\ninterval = \"5m\"\n",
        )
        .with("watch.d/20-more.toml", "[poll]\ninterval = \"1m\"\n[[user]]\nnam = \"x\"\n")
        .with("watch.d/notes.txt", "not a config");
    insta::assert_snapshot!(folder.said());
}

#[test]
fn cadences_that_cannot_be() {
    insta::assert_snapshot!(said(&format!(
        r#"{HEAD}[poll]
interval = "2m"
cron = "*/20 9-18 * * 1-5"
min_interval = "1h"
max_interval = "1m"
[[group]]
name = "ops"
cron = "0 9 31 2 *"
[[user]]
union_id = "u1"
interval = "1m"
cron = "@hourly"
[[user]]
union_id = "u2"
cron = "0 9 1 * MON"
[[user]]
union_id = "u3"
cron = "every day"
[[user]]
union_id = "u4"
interval = "0s"
"#
    )));
}

#[test]
fn windows_and_days_off() {
    insta::assert_snapshot!(said_with(
        r#"[[window]]
days = ["mon-fry", "someday"]
from = "8:61"
to = "25:00"
time_zone = "UTC+8"
[[window]]
days = []
from = "24:00"
groups = ["op"]
[[blackout]]
name = "festival"
dates = ["2027-02-12..2027-02-05", "2027-02-30"]
[[blackout]]
name = "nothing"
"#
    ));
}

#[test]
fn webhooks_that_cannot_work() {
    let folder = Folder::new().with("short.whsec", "whsec_c2hvcnQ=\n").with(
        "config.toml",
        &format!(
            r#"{HEAD}{ONE_USER}[[webhook]]
url = "crm.example.com"
[[webhook]]
name = "c r m"
url = "https://me:pw@crm.example.com"
[[webhook]]
name = "crm"
url = "ftp://crm.example.com"
[[webhook]]
name = "crm"
url = "https://客户.example.com"
[[webhook]]
name = "hr"
url = "https://hr.example.com/${{TOKEN}}"
secret = {{ file = "short.whsec" }}
events = ["participant_joined", "meeting.participant_jioned", "meetings.*"]
format = "standart"
network = "private"
headers = {{ "webhook-id" = "1", "X-Site" = "a\u0007", "b c" = "1" }}
[[webhook]]
name = "hr"
url = "https://hr.example.com"
secret = ["whsec_###", {{ file = "absent" }}]
events = []
format = "template"
success = {{ json = "errcode" }}
rate = 0
attempts = 0
"#
        ),
    );
    insta::assert_snapshot!(folder.said());
}

#[test]
fn webhooks_that_match_no_user() {
    insta::assert_snapshot!(said(&format!(
        r#"{HEAD}[[user]]
union_id = "u1"
name = "Li Wei"
groups = ["ops"]
[[user]]
union_id = "u2"
groups = ["sales"]
enabled = false
[[webhook]]
name = "typos"
url = "https://crm.example.com"
users = ["Li Wie"]
groups = ["opps", "marketing"]
orgs = ["acme"]
[[webhook]]
name = "nobody"
url = "https://crm.example.com"
users = ["Li Wei"]
groups = ["sales"]
"#
    )));
}

#[test]
fn secrets_that_stand_open_or_nowhere() {
    let text = r#"time_zone = "UTC"
[dingtalk]
app_key = "dingxxxx"
app_secret = "hunter2hunter2"
calls_per_month = 0
[[user]]
union_id = "u1"
name = "${NAME}"
[[webhook]]
name = "crm"
url = { env = "ABSENT" }
secret = { credential = "crm" }
headers = { Authorization = "Bearer hunter2", "X-A" = { file = "open" } }
[http]
token = { command = ["echo", "${HOME}"] }
"#;
    let folder = Folder::new()
        .with_mode("config.toml", text, 0o644)
        .with_mode("open", "hunter2", 0o644)
        .with("credentials/other", "hunter2");
    let said = folder.said_in(&[("CREDENTIALS_DIRECTORY", "FOLDER/credentials")]);
    assert!(!said.contains("hunter2"), "no secret is printed: {said}");
    insta::assert_snapshot!(said);
}

#[test]
fn secrets_in_lines_with_other_mistakes_are_starred_out() {
    let said = said(&format!(
        "{HEAD}{ONE_USER}[http]\ntokken = \"hunter2\"\n[dingtalkk]\napp_secret = \"hunter2\"\n"
    ));
    assert!(!said.contains("hunter2"), "{said}");
}

fn plan(limit: u64, interval: &str, people: usize) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "time_zone = \"Asia/Shanghai\"\n[dingtalk]\napp_key = \"k\"\napp_secret = {{ credential = \"s\" }}\n\
         calls_per_month = {limit}\n[poll]\n{interval}\n[[window]]\ndays = [\"mon-fri\"]\nfrom = \"09:00\"\nto = \"18:00\"\n"
    );
    for person in 0..people {
        let _ = writeln!(text, "[[user]]\nunion_id = \"u{person}\"");
    }
    said(&text)
}

#[test]
fn a_plan_over_the_calls_is_refused_with_one_that_fits() {
    insta::assert_snapshot!(plan(5000, "interval = \"1m\"", 10));
}

#[test]
fn a_plan_a_little_over_the_calls_is_a_warning() {
    insta::assert_snapshot!(plan(100_000, "interval = \"1m\"", 10));
}

#[test]
fn instants_are_counted_inside_the_windows() {
    insta::assert_snapshot!(plan(1000, "cron = \"*/20 * * * *\"", 10));
}

#[test]
fn a_plan_within_the_calls_or_without_a_limit_says_nothing_about_calls() {
    assert!(!plan(120_000, "interval = \"1m\"", 10).contains("calls"));
    assert!(!plan(0, "interval = \"100ms\"", 10).contains("calls"));
    assert!(!plan(5000, "interval = \"auto\"", 10).contains("calls"));
}

#[test]
fn defaults_written_out_are_no_news() {
    let text = "[poll]\nsweep = \"auto\"\nconfirm_calls = false\novertime = \"2h\"\n[history]\nvisits = \"365d\"\n\
        [webhook_defaults]\nformat = \"standard\"\nmax_age = \"7d\"\n";
    assert_eq!(said_with(text), "-- accepted\n");
}

#[test]
fn no_watched_user_and_no_user_in_the_window() {
    insta::assert_snapshot!(said(HEAD));
    insta::assert_snapshot!(said_with(
        "[[group]]\nname = \"ops\"\n[[user]]\nunion_id = \"u2\"\ngroups = [\"ops\"]\n[[window]]\ngroups = [\"ops\"]\n"
    ));
}
