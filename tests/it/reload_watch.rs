//! A config that is read again by itself when its files change (`[watch] auto_reload`), with real files.
//!
//! Guards: however an editor or a tool replaces a file, the daemon notices; a file that is broken is refused once and not
//! again until it changes. Deliberately not here: reloading as such (`reload`).

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::daemon::Site;
use crate::harness::fake::Fake;

const QUICK: &str = "interval = \"50ms\"\nmin_interval = \"20ms\"";
/// Of a person who is looked at every 50 ms, more than the daemon needs to find a change out.
const LOOKS: u64 = 60;

fn site(fake: &Fake, watch: &str) -> Site {
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, "");
    site.edit("[http]", &format!("[watch]\n{watch}\n[http]"));
    site
}

fn person(union_id: &str) -> String {
    format!("\n[[user]]\nunion_id = \"{union_id}\"\n")
}

#[test]
fn every_way_of_saving_a_file_is_noticed() {
    let fake = Fake::start();
    let site = site(&fake, "auto_reload = true");
    let daemon = site.start();
    fake.wait_looks("u1", 1);

    let saved = site.config() + &person("renamed-into-place");
    site.rewrite(&saved);
    fake.wait_looks("renamed-into-place", 1);

    let saved = saved + &person("written-over");
    fs::write(site.path("config.toml"), &saved).expect("a writable folder");
    fake.wait_looks("written-over", 1);

    let saved = saved + &person("moved-aside-first");
    fs::rename(site.path("config.toml"), site.path("config.toml~")).expect("a writable folder");
    fs::write(site.path("config.toml"), &saved).expect("a writable folder");
    fake.wait_looks("moved-aside-first", 1);

    fs::create_dir(site.path("watch.d")).expect("a writable folder");
    fs::write(site.path("watch.d/more.toml"), person("included")).expect("a writable folder");
    fake.wait_looks("included", 1);

    fs::remove_file(site.path("watch.d/more.toml")).expect("a file to remove");
    fs::write(site.path("watch.d/other.toml"), person("included-elsewhere")).expect("a writable folder");
    fake.wait_looks("included-elsewhere", 1);
    daemon.terminate();
}

/// As Kubernetes does it: the file is a link into a folder whose name is a link, and that one is turned.
#[test]
fn a_link_that_is_turned_to_another_version_is_noticed() {
    let fake = Fake::start();
    let site = site(&fake, "auto_reload = true");
    let version = |name: &str, text: &str| {
        fs::create_dir(site.path(name)).expect("a writable folder");
        fs::write(site.path(name).join("config.toml"), text).expect("a writable folder");
    };
    let text = site.config();
    version("..1", &text);
    version("..2", &(text + &person("in-the-second-version")));
    fs::remove_file(site.path("config.toml")).expect("a file to remove");
    symlink("..1", site.path("..data")).expect("a link");
    symlink("..data/config.toml", site.path("config.toml")).expect("a link");
    let daemon = site.start();
    fake.wait_looks("u1", 1);
    symlink("..2", site.path("..data_tmp")).expect("a link");
    fs::rename(site.path("..data_tmp"), site.path("..data")).expect("a link to rename");
    fake.wait_looks("in-the-second-version", 1);
    daemon.terminate();
}

#[test]
fn a_broken_file_is_said_once_and_the_old_settings_stay() {
    let fake = Fake::start();
    let site = site(&fake, "auto_reload = true");
    let daemon = site.start();
    let good = site.config();
    site.rewrite(good.replace("[poll]", "[polll]"));
    site.wait_for_log("config not reloaded");
    fake.wait_looks("u1", LOOKS);
    site.rewrite(good + &person("u2"));
    fake.wait_looks("u2", 1);
    site.wait_for_log("config reloaded");
    let log = daemon.log();
    daemon.terminate();
    assert_eq!(log.matches("config not reloaded").count(), 1, "{log}");
    assert_eq!(log.matches("config reloaded").count(), 1, "{log}");
}

#[test]
fn a_secret_that_changes_is_noticed_too() {
    let fake = Fake::start();
    let site = site(&fake, "auto_reload = true");
    site.edit("app_secret = \"secret-of-the-app\"", "app_secret = { file = \"app-secret\" }");
    fs::write(site.path("app-secret"), "the-first-one").expect("a writable folder");
    let daemon = site.start();
    fake.wait_looks("u1", 1);
    assert_eq!(fake.token_calls(), 1);
    fs::write(site.path("app-secret"), "the-second-one").expect("a writable folder");
    site.wait_for_log("config reloaded");
    fake.wait_looks("u1", 2);
    assert_eq!(fake.token_calls(), 2, "the next look needs a token of its own");
    daemon.terminate();
}

#[test]
fn it_begins_and_ends_with_a_reload() {
    let fake = Fake::start();
    let site = site(&fake, "auto_reload = false");
    let daemon = site.start();
    site.edit("[poll]", "[[user]]\nunion_id = \"u2\"\n[poll]");
    fake.wait_looks("u1", LOOKS);
    assert_eq!(fake.looks("u2"), 0, "nobody asked for it");
    site.edit("auto_reload = false", "auto_reload = true");
    assert_eq!(site.command(&["reload"]).status.code(), Some(0));
    fake.wait_looks("u2", 1);
    site.edit("u2", "u3");
    fake.wait_looks("u3", 1);
    daemon.terminate();
}
