//! `docs/recipes.md` shows the receivers as they are, and its webhooks are ones the program takes.
//!
//! Guards: a receiver that is changed is changed in the document, too. Deliberately not here: running them
//! (`tests/clients`).

use std::path::{Path, PathBuf};

use crate::harness::daemon::Site;
use crate::harness::loopback;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in fences of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("\n```{language}\n");
    text.split(&opening)
        .skip(1)
        .map(|rest| rest.split_once("\n```\n").expect("a fence that ends").0.to_owned())
        .collect()
}

#[test]
fn the_document_shows_every_receiver_as_it_is() {
    let document = read(&docs().join("recipes.md"));
    let entries = std::fs::read_dir(docs().join("recipes")).expect("the receivers' folder");
    let mut shown = 0;
    for path in entries.map(|entry| entry.expect("an entry of the folder").path()) {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        assert!(document.contains(&format!("(recipes/{name})")), "no link to {name}");
        let language = match path.extension().and_then(|extension| extension.to_str()) {
            Some("py") => "python",
            Some("js") => "js",
            Some("yaml") => "yaml",
            // The flow is for a machine to read; its functions are shown.
            Some("json") => continue,
            other => panic!("{name}: what is {other:?}?"),
        };
        let text = read(&path);
        assert!(blocks(&document, language).iter().any(|block| block == text.trim_end()), "{name} differs");
        shown += 1;
    }
    assert_eq!(shown, 4);
}

#[test]
fn the_config_of_the_document_passes_the_check() {
    let document = read(&docs().join("recipes.md"));
    let webhooks = blocks(&document, "toml");
    assert_eq!(webhooks.len(), 4);
    let hosts = loopback::hosts("http://127.0.0.1:9");
    let site = Site::with_config(&format!(
        "[dingtalk]\n{hosts}app_key = \"key\"\ncalls_per_month = 5000\napp_secret = {{ credential = \"app-secret\" }}\n\
         [[user]]\nunion_id = \"2iPOLbpUNMLzB5LuwggiiqiPwiEiE\"\n{}\n",
        webhooks.join("\n")
    ));
    let output = site.command(&["check"]);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // The credentials are not on this machine.
    let is_about_them = |line: &&str| line.contains("there is no credential");
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error")).collect();
    assert!(errors.iter().all(is_about_them), "{text}");
}
