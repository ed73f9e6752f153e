//! Characters that nobody sees, or takes for others, wherever a config can hold them: each is named with its place.
//!
//! Guards: a copied blank or a byte order mark is found by `check` instead of as a wrong secret or an unknown user; no message
//! shows a secret or writes such a character to the terminal. Deliberately not here: the syntax around them (`config_messages`).

use presenced::invisible::is_invisible;

use crate::config_folder::{Folder, HEAD, ONE_USER, said};

/// A config with these lines after those that every config needs.
fn with(rest: &str) -> String {
    format!("{HEAD}{ONE_USER}{rest}")
}

/// What `check` says of it; no such character is in it.
#[track_caller]
fn shown(config: &str) -> String {
    let said = said(config);
    let is_unseen = |c: char| is_invisible(c) && c != '\n';
    assert!(!said.contains(is_unseen), "{said:?}");
    said
}

#[test]
fn a_character_that_is_not_seen_is_named_with_its_place() {
    let hook = "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com/\"\n";
    for (config, place, name) in [
        (
            with("").replace("dingxxxx", "dingxxxx "),
            "3:20",
            "`app_key` in [dingtalk]: ends with U+0020 SPACE",
        ),
        (with("").replace("dingxxxx", "dingxxxx\u{a0}"), "3:20", "ends with U+00A0 NO-BREAK SPACE"),
        (with("").replace("dingxxxx", "\u{feff}dingxxxx"), "3:12", "holds U+FEFF BYTE ORDER MARK"),
        (with("").replace("dingxxxx", "ding\u{200b}xxxx"), "3:16", "holds U+200B ZERO WIDTH SPACE"),
        (with("").replace("dingxxxx", "'dingxxxx'"), "3:11", "holds `'` (U+0027)"),
        (with("").replace("dingxxxx", "“dingxxxx”"), "3:11", "holds `“` (U+201C)"),
        (with("").replace("dingxxxx", "ding xxxx"), "3:11", "holds U+0020 SPACE"),
        (with("").replace("\"dingxxxx\"", "\"\"\"dingxxxx\n\"\"\""), "3:22", "ends with U+000A LINE FEED"),
        (with("").replace("dingxxxx", "dingxxxx\\n"), "3:11", "ends with U+000A LINE FEED"),
        (with("").replace("\"u1\"", "\"u\u{ad}1\""), "7:14", "holds U+00AD SOFT HYPHEN"),
        (with("").replace("\"u1\"", "\"u１\""), "7:12", "holds `１` (U+FF11)"),
        (with("").replace("\"u1\"", "\"'u1'\""), "7:12", "holds `'` (U+0027)"),
        (with("name = \"Li\u{202e}Wei\"\n"), "8:11", "holds U+202E mark that turns the reading direction"),
        (with("name = \"Li Wei\u{3000}\"\n"), "8:15", "ends with U+3000 IDEOGRAPHIC SPACE"),
        (with("groups = [\"ops\", \"sales\u{200d}\"]\n"), "8:24", "holds U+200D ZERO WIDTH JOINER"),
        (with("tags = { \"si\u{2060}te\" = \"HZ\" }\n"), "8:13", "holds U+2060 WORD JOINER"),
        (with("tags = { site = \"H\\u001bZ\" }\n"), "8:17", "holds U+001B ESCAPE"),
        (with("\"name\u{200b}\" = \"Li\"\n"), "8:6", "a key in [[user]] holds U+200B ZERO WIDTH SPACE"),
        (with("interval = \"５m\"\n"), "8:12", "`５` (U+FF15) is full-width: write `5`"),
        (with("interval = \"5m\u{a0}\"\n"), "8:15", "ends with U+00A0 NO-BREAK SPACE"),
        (
            with(&hook.replace("com/", "com/\u{200b}")),
            "10:32",
            "`url` in [[webhook]]: holds U+200B ZERO WIDTH SPACE",
        ),
        (with(&hook.replace("crm\"", "cｒm\"")), "9:8", "contains 'ｒ', which is not allowed there"),
        (
            with(&format!("{hook}headers = {{ X-Site = \"HZ\u{200e}\" }}\n")),
            "11:25",
            "the header `X-Site` holds U+200E",
        ),
        (
            with(&format!("{hook}headers = {{ \"X-S\u{200b}\" = \"HZ\" }}\n")),
            "11:17",
            "the name of a header holds U+200B",
        ),
        (with(&format!("{hook}secret = {{ file = \"a\u{200b}.key\" }}\n")), "11:21", "holds U+200B"),
        (with(&format!("{hook}secret = {{ env = \"CRM \" }}\n")), "11:22", "ends with U+0020 SPACE"),
        (with(&format!("{hook}proxy = \"http://pｒoxy.example.com:1\"\n")), "11:9", "the host is not ASCII"),
        (with(&format!("{hook}users = [\"u1\u{200f}\"]\n")), "11:13", "holds U+200F RIGHT-TO-LEFT MARK"),
        (with(&hook.replace("com/", "com/a b")), "10:33", "`url` in [[webhook]]: holds U+0020 SPACE"),
        (with(&hook.replace("com/", "com/a\u{a0}b")), "10:33", "holds U+00A0 NO-BREAK SPACE"),
        (with(&hook.replace("com/", "com/?a=\u{3000}b")), "10:35", "holds U+3000 IDEOGRAPHIC SPACE"),
        (
            with(&format!("{hook}headers = {{ X-Site = \"H\u{a0}Z\" }}\n")),
            "11:24",
            "the header `X-Site` holds U+00A0 NO-BREAK SPACE",
        ),
        (with(&format!("{hook}proxy = \"http://proxy.example.com:1/\u{3000}a\"\n")), "11:37", "holds U+3000"),
        (with("[http]\ntoken = \"0123456789\u{a0}0123456789abcdef01234\"\n"), "9:20", "holds U+00A0"),
        (with("[history]\npath = \"presence\u{200b}.db\"\n"), "9:17", "holds U+200B ZERO WIDTH SPACE"),
        (with("[watch]\ninclude = [\"a\u{200b}.toml\"]\n"), "9:14", "holds U+200B ZERO WIDTH SPACE"),
        (with("[log]\nlevel = \"info\u{200b}\"\n"), "9:14", "holds U+200B ZERO WIDTH SPACE"),
        (with("[http]\nhosts = [\"a\u{200b}.example.com\"]\n"), "9:12", "holds U+200B ZERO WIDTH SPACE"),
    ] {
        let shown = shown(&config);
        assert!(shown.contains(name), "{name:?} is missing:\n{shown}");
        assert!(shown.contains(&format!("  --> config.toml:{place}\n")), "{place}:\n{shown}");
        assert_eq!(shown.matches("error: ").count(), 1, "said twice:\n{shown}");
        assert!(shown.ends_with("-- refused\n"), "{shown}");
    }
}

#[test]
fn names_and_scripts_that_need_such_characters_keep_them() {
    let name = "name = \"王\u{3000}小明 \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\"\ntags = { motto = \" a b \" }\n";
    assert_eq!(shown(&with(name)), "-- accepted\n");
    let script = "[http]\ntoken = { command = [\"sh\", \"-c\", \"\"\"\n\techo a\n\techo b\n\"\"\"] }\n";
    assert_eq!(shown(&with(script)), "-- accepted\n");
}

/// What stands in a file, what is said about it, and by which key it is read.
#[test]
fn a_secret_that_was_copied_with_something_else_is_refused_without_showing_it() {
    for (bytes, name) in [
        (&b"hunter\xe2\x80\x8b2\n"[..], "holds U+200B ZERO WIDTH SPACE at line 1, column 7: remove it"),
        (b"hunter2\nhunter3\n", "has 2 lines: leave only the secret in it, on one line"),
        (b"\"hunter2\"\n", "is in quotes: remove them"),
        (b"hunter2\x00", "holds U+0000 NULL at line 1, column 8: remove it"),
        (b"\xff\xfeh\x00u\x00n\x00", "is not UTF-8; it looks like UTF-16"),
        (b"APP_SECRET=hunter2\n", "begins with a name and `=`: leave only what follows the `=`"),
        (b"hunter 2\n", "holds U+0020 SPACE at line 1, column 7: copy the secret again"),
        (b"hunte\xef\xbd\x92 2\n", "holds a full-width character at line 1, column 6: copy the secret again"),
        (b" \n", "is empty"),
        (b"hunter2\xc2\xa0\n", "holds U+00A0 NO-BREAK SPACE at line 1, column 8: remove it"),
        (b"\xe3\x80\x80hunter2", "holds U+3000 IDEOGRAPHIC SPACE at line 1, column 1: remove it"),
    ] {
        for source in ["file = \"app.key\"", "credential = \"app-secret\"", "env = \"APP_SECRET\""] {
            let text = with("").replace("credential = \"app-secret\"", source);
            let folder = Folder::new().with("config.toml", &text);
            for path in ["app.key", "app-secret"] {
                std::fs::write(folder.path().join(path), bytes).expect("written");
            }
            let Ok(variable) = std::str::from_utf8(bytes) else { continue };
            let variables = [("CREDENTIALS_DIRECTORY", "FOLDER"), ("APP_SECRET", variable)];
            let said = folder.said_in(&variables);
            assert!(said.contains(name), "{source}: {name:?} is missing:\n{said}");
            assert!(said.contains("  --> config.toml:4:14\n"), "{said}");
            assert!(said.ends_with("-- refused\n") && !said.contains("hunte"), "{said}");
        }
    }
    for bytes in ["hunter2", "hunter2\n", "\u{feff}hunter2\r\n", "  hunter2 \n\n"] {
        let text = with("").replace("credential = \"app-secret\"", "file = \"app.key\"");
        let folder = Folder::new().with("config.toml", &text).with("app.key", bytes);
        assert_eq!(folder.said(), "-- accepted\n", "{bytes:?}");
    }
}

#[test]
fn a_path_with_such_a_character_shows_it() {
    let ended = Folder::new().presenced(&["check", "-c", "config\u{200b}.toml"]);
    let said = String::from_utf8(ended.stdout).expect("text");
    assert!(said.contains("config\u{fffd}.toml cannot be read"), "{said}");
    assert!(said.contains("the path contains U+200B ZERO WIDTH SPACE"), "{said}");
}
