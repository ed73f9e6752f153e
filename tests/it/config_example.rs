//! `config.example.toml` is the defaults, written down: it parses without a word and equals a file that holds
//! nothing but the required keys.

use std::path::Path;

use presenced::config::secrets::Env;
use presenced::config::{Config, load_in};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Only what is REQUIRED, as the example has it.
const REQUIRED: &str = r#"
[dingtalk]
app_key = "dingxxxx"
app_secret = { credential = "app-secret" }
calls_per_month = 5000
[[user]]
union_id = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE"
"#;

const WEBHOOK: &str = "\n[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com/hooks\"\n";

fn clean(folder: &Path, text: &str) -> Config {
    let path = folder.join("config.toml");
    std::fs::write(&path, text).expect("written");
    let loaded = load_in(&path, &Env::Fixed([].into())).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(loaded.warnings, [], "no warnings");
    loaded.config
}

#[test]
fn the_example_is_clean_and_equals_the_defaults() {
    let folder = tempfile::tempdir().expect("a folder");
    let example = clean(folder.path(), &format!("{EXAMPLE}{WEBHOOK}"));
    let required = clean(folder.path(), &format!("{REQUIRED}{WEBHOOK}"));
    assert_eq!(format!("{example:#?}"), format!("{required:#?}"));
    assert_eq!(example.webhooks.len(), 1, "the defaults of webhooks are compared too");
}

#[test]
fn the_defaults_stay_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = clean(folder.path(), &format!("time_zone = \"Asia/Shanghai\"\n{REQUIRED}{WEBHOOK}"));
    config.file = "/etc/presenced/config.toml".into();
    let shown = format!("{config:#?}").replace(&folder.path().display().to_string(), "/etc/presenced");
    insta::assert_snapshot!(shown);
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn no_damage_to_a_config_makes_the_check_panic(
        at in 0..EXAMPLE.len(), taken in 0..40_usize, put in "[\\PC\n]{0,6}",
        // Commented keys come to life too.
        uncomment in any::<bool>(),
    ) {
        let example = if uncomment { EXAMPLE.replace("\n# ", "\n") } else { EXAMPLE.to_owned() };
        let (start, end) = (example.floor_char_boundary(at), example.floor_char_boundary(at + taken));
        let text = format!("{}{put}{}", &example[..start], &example[end.max(start)..]);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).expect("written");
        match load_in(&path, &Env::Fixed([].into())) {
            Ok(loaded) => drop(presenced::config::problem::render(&loaded.warnings, &loaded.sources)),
            Err(refused) => prop_assert!(refused.to_string().starts_with("error: ") || refused.to_string().contains("\nerror: ")),
        }
    }
}
