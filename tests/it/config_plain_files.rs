//! What a config names must be a plain file: a FIFO, a device, a folder and a socket are refused at once, and so is what is too
//! large.
//!
//! Guards: `check`, the start and a reload never hang on a file and never fill the memory. Deliberately not here: what stands in
//! the files (`config_characters`, `config_formats`).

use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::config_folder::{Folder, HEAD, ONE_USER};

/// Makes each kind of what is no plain file, under these names.
fn odd_ones(folder: &Path) -> [(&'static str, &'static str); 4] {
    let fifo = folder.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("it runs");
    assert!(made.success());
    UnixListener::bind(folder.join("socket")).expect("bound");
    std::fs::create_dir(folder.join("dir")).expect("made");
    std::os::unix::fs::symlink("/dev/zero", folder.join("device")).expect("linked");
    [("fifo", "a pipe (FIFO)"), ("socket", "a socket"), ("dir", "a folder"), ("device", "a device")]
}

#[test]
fn only_plain_files_are_read() {
    let hook = "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com\"\n";
    for (config, place) in [
        (HEAD.replace("credential = \"app-secret\"", "file = \"NAME\""), "4:14"),
        (HEAD.replace("app-secret", "NAME"), "4:14"),
        (format!("{HEAD}ca_file = \"NAME\"\n"), "6:11"),
        (format!("{HEAD}{hook}ca_file = \"NAME\"\n"), "9:11"),
        (format!("{HEAD}{hook}format = \"template\"\ntemplate = \"./NAME\"\n"), "10:12"),
        (format!("{HEAD}[watch]\ninclude = [\"NAME\"]\n"), "7:12"),
    ] {
        let folder = Folder::new();
        for (name, kind) in odd_ones(folder.path()) {
            let text = format!("{}{ONE_USER}", config.replace("NAME", name));
            std::fs::write(folder.path().join("config.toml"), text).expect("written");
            let said = folder.said_in(&[("CREDENTIALS_DIRECTORY", "FOLDER")]);
            assert!(said.contains(&format!("it is {kind}, not a plain file")), "{place} {name}:\n{said}");
            assert!(said.contains(&format!("  --> config.toml:{place}\n")), "{place} {name}:\n{said}");
            assert!(said.ends_with("-- refused\n"), "{said}");
        }
    }
}

#[test]
fn a_ca_file_without_a_usable_certificate_is_refused_before_the_start() {
    let hook = "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com\"\n";
    let key = rcgen::KeyPair::generate().expect("made").serialize_pem();
    let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let cut = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n";
    for (pem, said) in [
        ("", "holds no certificate"),
        ("no certificate", "holds no certificate"),
        (&*key, "holds no certificate"),
        (broken, "holds a certificate that cannot be used: "),
        (cut, "is no PEM file"),
    ] {
        for (config, place) in [
            (format!("{HEAD}ca_file = \"ca.pem\"\n"), "6:11"),
            (format!("{HEAD}{hook}ca_file = \"ca.pem\"\n"), "9:11"),
        ] {
            let folder =
                Folder::new().with("config.toml", &format!("{config}{ONE_USER}")).with("ca.pem", pem);
            let shown = folder.said();
            assert!(
                shown.contains(said) && shown.contains(&format!("config.toml:{place}\n")),
                "{said}:\n{shown}"
            );
            assert!(shown.ends_with("-- refused\n"), "{shown}");
        }
    }
}

#[test]
fn the_config_itself_is_a_plain_file() {
    let folder = Folder::new();
    for (name, kind) in odd_ones(folder.path()) {
        for command in [&["check"][..], &["run"], &["config", "show"]] {
            let ended = folder.presenced(&[&["-c", name], command].concat());
            let said = [ended.stdout, ended.stderr].concat();
            let said = String::from_utf8(said).expect("text");
            assert!(
                said.contains(&format!("{name} cannot be read: it is {kind}, not a plain file")),
                "{said}"
            );
            assert_eq!(ended.status.code(), Some(78), "{said}");
        }
    }
}

#[test]
fn what_is_too_large_for_its_kind_is_refused() {
    let hook = "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com\"\n";
    let secret = HEAD.replace("credential = \"app-secret\"", "file = \"large\"");
    for (config, kib) in [
        (secret, 64),
        (format!("{HEAD}ca_file = \"large\"\n"), 1024),
        (format!("{HEAD}{hook}format = \"template\"\ntemplate = \"./large\"\n"), 64),
        (format!("{HEAD}[watch]\ninclude = [\"large\"]\n"), 64 * 1024),
    ] {
        let folder = Folder::new().with("config.toml", &format!("{config}{ONE_USER}"));
        let large = std::fs::File::create(folder.path().join("large")).expect("made");
        large.set_len(kib * 1024 + 1).expect("set");
        let said = folder.said();
        assert!(said.contains(&format!("it is larger than {kib} KiB")), "{said}");
    }
}
