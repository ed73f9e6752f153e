//! `presenced simulate` as a process: its first line, its exit, its refusals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::harness::loopback;
use crate::simulator_api::SCENE;

fn simulate(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_presenced"))
        .arg("simulate")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end_with(signal: &str) {
    let mut child = simulate(&["--listen", "127.0.0.1:0", "--speed", "60"]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    let port = first.trim_end().strip_prefix("http://127.0.0.1:").unwrap();
    assert!(port.parse::<u16>().is_ok(), "{first}");
    let killed = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status();
    assert!(killed.unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("curl -s"), "{rest}");
    for host in loopback::hosts(first.trim_end()).lines() {
        assert!(rest.contains(host), "a config that names one of them asks the real DingTalk too: {rest}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_first_line_is_its_url_and_it_ends_with_0_on_sigterm() {
    end_with("TERM");
}

#[test]
fn and_on_sigint() {
    end_with("INT");
}

#[test]
fn a_scenario_that_cannot_be_played_is_refused_with_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, SCENE.replace("do = \"leave\"", "do = \"host\"").replace("\"+1m\"", "\"+3m\""))
        .unwrap();
    let output = simulate(&["--scenario", path.to_str().unwrap()]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("bad.toml:11: Ann is not in m then"), "{text}");
}

#[test]
fn a_scenario_that_is_not_there_names_the_built_in_ones() {
    let output = simulate(&["--scenario", "no-such-day"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no-such-day") && text.contains("working-day"), "{text}");
}
