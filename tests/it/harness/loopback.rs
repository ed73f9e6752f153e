//! No test's daemon asks anybody beyond this machine.
//!
//! Guards: a config that a daemon could run on names both of DingTalk's hosts, and both are loopback; what it does not name
//! would be the real one. Deliberately not here: webhooks, whose `url` has no default.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use toml::{Table, Value};

use super::daemon::Site;

/// A free address for a daemon's listener. Its port is below those that the system gives out by itself, which any other
/// test could be given before the daemon binds it; and it is given to one test of this process only.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1_000).expect("below 1,000") * 12;
    (0..12_000)
        .map(|_| 12_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed) % 12_000) % 12_000)
        .map(|port| format!("127.0.0.1:{port}"))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}

/// Both, in whatever order the file has them.
const HOSTS: [&str; 2] = ["api_base", "legacy_base"];

/// The lines of a `[dingtalk]` that send everything to `base`.
pub(crate) fn hosts(base: &str) -> String {
    HOSTS.map(|key| format!("{key} = \"{base}\"\n")).concat()
}

/// A text, unless it could lead a daemon to the real DingTalk.
#[track_caller]
pub(crate) fn at_home(config: &str) -> &str {
    let away = away(config);
    assert!(away.is_empty(), "this config would reach beyond this machine: {}\n{config}", away.join(", "));
    config
}

/// Whether bytes may be written as a config. What is no text is refused by whoever reads it.
pub(crate) fn is_at_home(config: &[u8]) -> bool {
    std::str::from_utf8(config).map_or(true, |config| away(config).is_empty())
}

/// What of a config's hosts is not of this machine. A text that is no TOML, or without an app, is refused by whoever reads
/// it.
fn away(config: &str) -> Vec<String> {
    let Ok(config) = config.parse::<Table>() else { return Vec::new() };
    let nothing = Table::new();
    let base = config.get("dingtalk").and_then(Value::as_table);
    let orgs: Vec<&Table> = config
        .get("org")
        .and_then(Value::as_array)
        .map(|orgs| orgs.iter().filter_map(Value::as_table).collect())
        .unwrap_or_default();
    // What stands in [dingtalk] holds for each [[org]] that does not set it; without one, for the only one.
    let asking = if orgs.is_empty() { base.map(|_| &nothing).into_iter().collect() } else { orgs };
    let mut away = Vec::new();
    for org in asking {
        for key in HOSTS {
            match org.get(key).or_else(|| base?.get(key)).and_then(Value::as_str) {
                Some(host) if host.starts_with("http://127.0.0.1:") => {}
                Some(host) => away.push(format!("`{key}` is {host}")),
                None => away.push(format!("there is no `{key}`")),
            }
        }
    }
    away
}

#[test]
fn a_config_that_leads_beyond_this_machine_is_not_written() {
    const HERE: &str = "http://127.0.0.1:9";
    let both = format!("[dingtalk]\n{}", hosts(HERE));
    assert_eq!(at_home(&both), both);
    for harmless in ["", "[poll]\ninterval = \"1m\"\n", "[dingtalk]\napi_base = \n"] {
        assert_eq!(at_home(harmless), harmless, "nobody runs on it");
    }
    let (api, legacy) = (format!("api_base = \"{HERE}\"\n"), format!("legacy_base = \"{HERE}\"\n"));
    at_home(&format!("[[org]]\nname = \"a\"\n{legacy}[dingtalk]\n{api}"));
    for (leads_away, why) in [
        ("[dingtalk]\n".to_owned(), "no `api_base`"),
        (format!("[dingtalk]\n{api}"), "no `legacy_base`"),
        (format!("[dingtalk]\n{legacy}"), "no `api_base`"),
        (format!("{both}[[org]]\nname = \"a\"\nlegacy_base = \"https://oapi.dingtalk.com\"\n"), "oapi"),
        (
            format!("[dingtalk]\n{api}[[org]]\nname = \"a\"\n{legacy}[[org]]\nname = \"b\"\n"),
            "no `legacy_base`",
        ),
        (format!("[[org]]\nname = \"a\"\n{api}"), "no `legacy_base`"),
    ] {
        let away = away(&leads_away);
        assert!(away.len() == 1 || leads_away == "[dingtalk]\n", "{away:?}");
        assert!(away[0].contains(why), "{away:?} of {leads_away}");
        let written = std::panic::catch_unwind(|| Site::with_config(&leads_away));
        assert!(written.is_err(), "{leads_away}");
    }
    let site = Site::with_config(&both);
    let edit = |site: &Site| site.edit("legacy_base", "legacy_bas");
    let rewrite = |site: &Site| site.rewrite("[dingtalk]\n");
    for write in [edit as fn(&Site), rewrite] {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&site))).is_err());
        assert_eq!(site.config(), both, "and what was there stays");
    }
}
