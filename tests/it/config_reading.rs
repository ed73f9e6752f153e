//! What a config comes to once it is read: which setting wins, which files belong to it, how paths and times are meant.
//!
//! Guards: one reading of what the documents say. Deliberately not here: configs with mistakes (`config_check`).

use crate::config_folder::{Folder, HEAD, ONE_USER, said};

#[test]
fn precedence_inheritance_and_merging() {
    use presenced::config::{Cadence, Text};
    use std::time::Duration;
    let text = r#"time_zone = "UTC"
[dingtalk]
app_key = "shared"
app_secret = { credential = "app-secret" }
calls_per_month = 0
rate = 7
[[org]]
name = "acme"
app_key = "own"
rate = 9
[[org]]
name = "beta"
[poll]
interval = "10m"
[[group]]
name = "ops"
interval = "2m"
[[group]]
name = "late"
interval = "3m"
[[group]]
name = "plain"
[[user]]
union_id = "own"
org = "acme"
groups = ["late", "ops"]
interval = "1m"
[[user]]
union_id = "last-group"
org = "acme"
groups = ["late", "ops", "plain"]
[[user]]
union_id = "poll"
org = "beta"
groups = ["plain", "undeclared"]
[[user]]
union_id = "off"
org = "beta"
enabled = false
[webhook_defaults]
rate = 3
headers = { "X-Site" = "HZ" }
backoff = { initial = "1s", max = "1m" }
[[webhook]]
name = "crm"
url = "https://crm.example.com"
rate = 4
backoff = { factor = 2.0 }
[[webhook]]
name = "hr"
url = "https://hr.example.com"
events = ["*"]
headers = {}
"#;
    let config = Folder::new().with("config.toml", text).load(&[]).unwrap_or_else(|e| panic!("{e}")).config;
    let minutes = |minutes| Cadence::Every(Duration::from_mins(minutes));
    let cadences: Vec<_> =
        config.users.iter().map(|user| (user.name.as_str(), user.cadence.clone())).collect();
    assert_eq!(cadences, [("own", minutes(1)), ("last-group", minutes(3)), ("poll", minutes(10))]);
    let rates: Vec<_> =
        config.orgs.iter().map(|org| (org.name.as_str(), org.rate, org.calls_per_month)).collect();
    assert_eq!(rates, [("acme", 9, None), ("beta", 7, None)]);
    let [crm, hr] = config.webhooks.as_slice() else { panic!("two webhooks") };
    assert_eq!((crm.rate, hr.rate), (4, 3));
    assert_eq!(crm.events, ["meeting.participant_joined", "meeting.participant_left"]);
    assert!(matches!(&crm.headers[..], [(name, Text::Plain(value))] if name == "X-Site" && value == "HZ"));
    assert!(hr.headers.is_empty() && hr.events == ["*"]);
    assert_eq!(crm.backoff.initial, Duration::from_secs(1));
    assert!(
        (crm.backoff.factor - 2.0).abs() < f64::EPSILON && (hr.backoff.factor - 4.0).abs() < f64::EPSILON
    );
}

#[test]
fn includes_are_patterns_in_one_folder() {
    let text = format!(
        "{HEAD}[watch]\ninclude = [\"people/*.toml\", \"people/a.toml\", \"*/x.toml\", \"absent.toml\", \"none/*.toml\"]\n"
    );
    let folder = Folder::new()
        .with("config.toml", &text)
        .with("people/b.toml", "[[user]]\nunion_id = \"b\"\n")
        .with("people/a.toml", "[[user]]\nunion_id = \"a\"\n")
        .with("people/.a.toml.swp", "rubbish")
        .with("watch.d/not-asked-for.toml", "rubbish");
    insta::assert_snapshot!(folder.said());
    let folder = folder.with("config.toml", &format!("{HEAD}[watch]\ninclude = [\"people/*.toml\"]\n"));
    let config = folder.load(&[]).unwrap_or_else(|error| panic!("{error}")).config;
    assert_eq!(config.users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn times_and_dates_may_be_tomls_own() {
    let text = "[[window]]\nfrom = 08:30:00\nto = 19:30:00\n[[blackout]]\ndates = [2027-02-05]\n";
    let config = Folder::new().with("config.toml", &format!("{HEAD}{ONE_USER}{text}")).load(&[]);
    let config = config.unwrap_or_else(|error| panic!("{error}")).config;
    assert_eq!((config.windows[0].hours.from_minute, config.windows[0].hours.to_minute), (510, 1170));
    assert_eq!(config.blackouts[0].dates[0].first.to_string(), "2027-02-05");
}

#[test]
fn a_byte_order_mark_and_crlf_do_no_harm() {
    let text = format!("\u{feff}{HEAD}{ONE_USER}").replace('\n', "\r\n");
    assert_eq!(said(&text), "-- accepted\n");
    let text = format!("{HEAD}{ONE_USER}[poll]\nintervall = 1\n").replace('\n', "\r\n");
    assert!(said(&text).contains("\n 9 | intervall = 1\n   | ^^^^^^^^^ did you mean"));
}

#[test]
fn relative_paths_count_from_the_configs_folder() {
    let text = format!("{HEAD}{ONE_USER}[history]\npath = \"data/presence.db\"\n");
    let folder = Folder::new().with("config.toml", &text);
    let config = folder.load(&[]).unwrap_or_else(|error| panic!("{error}")).config;
    assert_eq!(config.history.path, folder.path().canonicalize().expect("a folder").join("data/presence.db"));
}

#[test]
fn a_webhooks_own_proxy_and_ca_file_come_before_the_shared_ones() {
    let text = format!(
        "{HEAD}{ONE_USER}[webhook_defaults]\nproxy = \"http://shared:1\"\nca_file = \"shared.pem\"\n\
         [[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com\"\n\
         [[webhook]]\nname = \"hr\"\nurl = \"https://hr.example.com\"\nproxy = \"http://own:1\"\nca_file = \"own.pem\"\n"
    );
    let ca = rcgen::generate_simple_self_signed(vec!["crm.example.com".to_owned()]).expect("made").cert.pem();
    let folder = Folder::new().with("config.toml", &text).with("shared.pem", &ca).with("own.pem", &ca);
    let config = folder.load(&[]).unwrap_or_else(|error| panic!("{error}")).config;
    let root = folder.path().canonicalize().expect("a folder");
    let read: Vec<_> =
        config.webhooks.iter().map(|hook| (hook.proxy.clone(), hook.ca_file.clone())).collect();
    assert_eq!(
        read,
        [
            (Some("http://shared:1".to_owned()), Some(root.join("shared.pem"))),
            (Some("http://own:1".to_owned()), Some(root.join("own.pem"))),
        ]
    );
}

#[test]
fn open_time_is_that_of_all_users_and_of_the_own_groups_without_days_off() {
    use presenced::time::Timestamp;
    let text = format!(
        "{HEAD}[[user]]\nunion_id = \"u1\"\n[[user]]\nunion_id = \"u2\"\ngroups = [\"night\"]\n\
         [[window]]\nfrom = \"09:00\"\nto = \"18:00\"\n[[window]]\nfrom = \"22:00\"\nto = \"02:00\"\ngroups = [\"night\"]\n\
         [[blackout]]\ndates = [\"2027-02-05..2027-02-06\"]\n"
    );
    let config = Folder::new().with("config.toml", &text).load(&[]).unwrap_or_else(|e| panic!("{e}")).config;
    let [day, night] = config.users.as_slice() else { panic!("two users") };
    let open = |user, ms| config.open_time(user).open_at(Timestamp::from_ms(ms));
    let (noon, midnight, day_off) = (1_801_627_200_000, 1_801_670_400_000, 1_801_800_000_000);
    assert_eq!((open(day, noon), open(night, noon)), (true, true));
    assert_eq!((open(day, midnight), open(night, midnight)), (false, true));
    assert_eq!((open(day, day_off), open(night, day_off)), (false, false));
}
