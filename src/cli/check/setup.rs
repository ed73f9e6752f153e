//! Problems that are not in the text of a config: values that are still examples, files and folders that this machine lacks.
//!
//! Guards: what `presenced run` would fail on is found before it is started. Not here: problems of the text (`config`).

use std::io::ErrorKind;
use std::path::Path;

use crate::config::problem::{Place, Problem, Sources};
use crate::config::secrets::{SecretSource, add_credential};
use crate::config::{App, Config, Org, Text};

/// The folder that the systemd unit makes.
const UNIT_FOLDER: &str = "/var/lib/presenced";
/// Values of the example config, which are not those of any organisation.
const EXAMPLE_KEY: &str = "dingxxxx";
const EXAMPLE_USER: &str = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE";

/// All of them.
pub(super) fn problems(config: &Config, sources: &Sources) -> Vec<Problem> {
    let mut found = Vec::new();
    placeholders(config, sources, &mut found);
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_none_or(|folder| folder.is_empty()) {
        missing_credentials(config, sources, &mut found);
    }
    missing_folder(config, sources, &mut found);
    found
}

fn placeholders(config: &Config, sources: &Sources, found: &mut Vec<Problem>) {
    let mut warn = |value: &str, message: String, help: &str| {
        found.push(Problem::warning("placeholder", place(sources, "", value), message).help(help));
    };
    let real: Vec<&Org> = config.orgs.iter().filter(|org| !is_local(org)).collect();
    let has_example_key = |org: &&&Org| match &org.app {
        App::Internal { key, .. } | App::ThirdParty { key, .. } => key == EXAMPLE_KEY,
        App::Token { .. } => false,
    };
    if real.iter().any(|org| has_example_key(&org)) {
        let message = format!("`app_key` is still the example `{EXAMPLE_KEY}`");
        warn(
            EXAMPLE_KEY,
            message,
            "copy the AppKey (Client ID) of your app from DingTalk's developer console",
        );
    }
    let is_example = |id: &str| id == EXAMPLE_USER;
    if !real.is_empty() && config.users.iter().any(|user| is_example(user.identity.union_id.as_str())) {
        let message = "a `union_id` is still that of the example".to_owned();
        warn(EXAMPLE_USER, message, "`presenced user find` prints the unionIds of your organisation");
    }
    for webhook in &config.webhooks {
        let Text::Plain(url) = &webhook.url else { continue };
        let parsed = reqwest::Url::parse(url).ok();
        let host = parsed.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        let is_example = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
        if ["example.com", "example.org", "example.net", "example"].into_iter().any(is_example) {
            let message = format!("webhook `{}` sends to {host}, which is only for examples", webhook.name);
            warn(url, message, "write the URL of your receiver");
        }
    }
}

/// Whether DingTalk is played on this machine.
pub(super) fn is_local(org: &Org) -> bool {
    let url = reqwest::Url::parse(&org.api_base).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn missing_credentials(config: &Config, sources: &Sources, found: &mut Vec<Problem>) {
    for (name, beside) in credentials(config) {
        let is_missing =
            |path: &Path| std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if !is_missing(beside) {
            continue;
        }
        let message = format!("there is no credential `{name}`");
        let place = place(sources, "credential = ", name);
        // The unit of the package may have it from elsewhere.
        found.push(if beside.starts_with("/etc") {
            Problem::warning("missing-secret", place, format!("{message} here")).help(add_credential(name))
        } else {
            let help = format!("write it to {}, mode 0600", beside.display());
            Problem::error("missing-secret", place, message).help(help)
        });
    }
}

/// Names and files of all credentials, each once.
fn credentials(config: &Config) -> Vec<(&str, &Path)> {
    let mut sources: Vec<&SecretSource> = Vec::new();
    for org in &config.orgs {
        match &org.app {
            App::Internal { secret, .. } => sources.push(secret),
            App::ThirdParty { secret, suite_ticket, .. } => {
                sources.extend([secret].into_iter().chain(suite_ticket));
            }
            App::Token { access_token } => sources.push(access_token),
        }
    }
    for webhook in &config.webhooks {
        sources.extend(&webhook.secrets);
        let texts = [&webhook.url].into_iter().chain(webhook.headers.iter().map(|(_, value)| value));
        sources.extend(texts.filter_map(|text| match text {
            Text::Secret(source) => Some(source),
            Text::Plain(_) => None,
        }));
    }
    sources.extend(&config.http.token);
    let mut named: Vec<(&str, &Path)> = sources
        .into_iter()
        .filter_map(|source| match source {
            SecretSource::Credential { name, beside } => Some((name.as_str(), beside.as_path())),
            _ => None,
        })
        .collect();
    named.sort_unstable();
    named.dedup();
    named
}

fn missing_folder(config: &Config, sources: &Sources, found: &mut Vec<Problem>) {
    let Some(folder) = config.history.path.parent() else { return };
    if !std::fs::metadata(folder).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return;
    }
    let message = format!("the folder of the history, {}, does not exist", folder.display());
    let place = config.history.path.file_name().and_then(|name| place(sources, "", &name.to_string_lossy()));
    found.push(if folder == Path::new(UNIT_FOLDER) {
        let help = format!("the unit makes {UNIT_FOLDER}; else write `path = \"presence.db\"`");
        Problem::warning("missing-folder", place, message).help(help)
    } else {
        Problem::error("missing-folder", place, message).help(format!("mkdir -p {}", folder.display()))
    });
}

/// Where a value is first written after `before`, in quotes or at the end of a quoted text.
fn place(sources: &Sources, before: &str, value: &str) -> Option<Place> {
    let quoted_end = format!("{value}\"");
    sources.all().iter().enumerate().find_map(|(source, file)| {
        let mut lines = file.text.split_inclusive('\n').scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some((start, line))
        });
        lines.find_map(|(start, line)| {
            let at = line.find(&quoted_end)?;
            let from = line[..at].rfind('"')?;
            let is_it = line[..from].ends_with(before) && !line[..from].contains('#');
            let span = start + from..start + at + quoted_end.len();
            is_it.then_some(Place { source, span })
        })
    })
}
