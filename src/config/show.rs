//! The effective config: values after inheritance and defaults, each with the line that sets it.
//!
//! Guards: no secret is in it, also none of plain values, commands and URLs; read as a config, it is the same config. Not
//! here: printing it (`cli`).

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::keys::keys_of;
use super::problem::Sources;
use super::reference::{Absent, Key, Kind, TABLES, Table, table};
use super::section::{RawValue, Report, Section};
use super::{Config, Format, Loaded};
use hidden::hidden;

mod hidden;

/// One table of the effective config.
#[derive(Clone, Debug)]
pub struct Block {
    pub table: &'static Table,
    /// In the order of the reference.
    pub lines: Vec<Line>,
}

/// One effective value.
#[derive(Clone, Debug)]
pub struct Line {
    pub key: &'static str,
    /// The value, secrets taken out.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Set at this place.
    At {
        /// The file as the operator would name it.
        file: String,
        /// From 1.
        line: usize,
    },
    Default,
    /// The default, which follows from another value.
    From(&'static str),
}

/// The effective config in the order of the reference.
pub fn show(loaded: &Loaded) -> Vec<Block> {
    let documents: Vec<DeTable<'_>> = loaded
        .sources
        .all()
        .iter()
        .map(|source| DeTable::parse_recoverable(&source.text).0.into_inner())
        .collect();
    // The config is valid, so no problem is lost.
    let report = Report::default();
    let everything: Vec<&str> = keys_of("").collect();
    let tops = documents.iter().enumerate();
    let tops: Vec<Section<'_>> =
        tops.map(|(source, table)| Section::root(table, source, &report, &everything)).collect();
    let Some(root) = tops.first() else { return Vec::new() };
    let files = Files { root, tops: &tops, sources: &loaded.sources, folder: folder(&loaded.sources) };
    let config = &loaded.config;
    let mut blocks = vec![files.top(config)];
    blocks.extend(files.orgs(config));
    blocks.extend(files.poll());
    blocks.extend(files.windows(config));
    blocks.extend(files.blackouts(config));
    blocks.extend(files.users(config));
    blocks.push(files.watch());
    blocks.extend(files.webhooks(config));
    blocks.extend(files.rest(config));
    blocks.retain(|block| !block.lines.is_empty());
    blocks
}

/// Where relative paths count from.
fn folder(sources: &Sources) -> PathBuf {
    let main = sources.all().first().and_then(|source| std::path::absolute(&source.name).ok());
    main.and_then(|main| main.parent().map(Path::to_owned)).unwrap_or_default()
}

#[derive(Debug)]
struct Files<'a> {
    root: &'a Section<'a>,
    tops: &'a [Section<'a>],
    sources: &'a Sources,
    folder: PathBuf,
}

impl<'a> Files<'a> {
    /// The tables of that name in all files, the main one's first.
    fn everywhere(&self, key: &'static str) -> Vec<Section<'a>> {
        self.tops.iter().flat_map(|top| top.tables(key)).collect()
    }

    /// The keys of one table, own or inherited.
    fn block(&self, path: &str, section: &Section<'_>) -> Block {
        // Every path has a table, which a test checks.
        let table = table(path).unwrap_or(&TABLES[0]);
        let lines = table.all_keys().filter_map(|key| self.line(key, section)).collect();
        Block { table, lines }
    }

    fn line(&self, key: &'static Key, section: &Section<'_>) -> Option<Line> {
        // Tables have blocks of their own, but for the one that is inherited as a whole.
        if key.kind.inner().is_some_and(|path| path != "webhook.success") {
            return None;
        }
        match (section.raw(key.name), key.absent) {
            (Some(raw), _) => Some(self.at(key.name, key.kind, raw)),
            (None, Absent::Default(default)) => {
                Some(Line { key: key.name, value: parsed(default)?, origin: Origin::Default })
            }
            (None, Absent::Means(_) | Absent::Refused(_)) => None,
        }
    }

    fn at(&self, key: &'static str, kind: Kind, raw: RawValue<'_>) -> Line {
        let value = hidden(kind, plain(raw.value), &self.folder);
        let origin = self
            .sources
            .position(&raw.place())
            .map_or(Origin::Default, |at| Origin::At { file: at.file.to_owned(), line: at.line });
        Line { key, value, origin }
    }

    fn top(&self, config: &Config) -> Block {
        let mut block = self.block("", self.root);
        block.means("time_zone", config.time_zone.name());
        block
    }

    /// The organisations; keys inherited from [dingtalk] are shown in each.
    fn orgs(&self, config: &Config) -> Vec<Block> {
        let shared = Rc::new(self.root.table("dingtalk", "dingtalk"));
        let own = self.everywhere("org");
        let mut blocks: Vec<Block> = if own.is_empty() {
            vec![self.block("dingtalk", &shared)]
        } else {
            own.into_iter().map(|own| self.block("org", &own.over(&shared))).collect()
        };
        for (block, org) in blocks.iter_mut().zip(&config.orgs) {
            block.follows("api_base", org.api_base.as_str(), "that of `site`");
            block.follows("legacy_base", org.legacy_base.as_str(), "that of `site`");
            block.means("month_time_zone", org.month_time_zone.name());
            block.means_path("ca_file", org.ca_file.as_deref());
        }
        blocks
    }

    fn poll(&self) -> [Block; 2] {
        let section = self.root.table("poll", "poll");
        let mut poll = self.block("poll", &section);
        poll.set(self.cadence([&section]));
        [poll, self.block("poll.backoff", &section.table("backoff", "poll.backoff"))]
    }

    /// The first `interval` or `cron` that is set.
    fn cadence<'s>(&self, sections: impl IntoIterator<Item = &'s Section<'s>>) -> Line {
        let set = sections.into_iter().find_map(|section| {
            let of = |(key, kind)| section.raw(key).map(|raw| self.at(key, kind, raw));
            [("interval", Kind::Text), ("cron", Kind::Cron)].into_iter().find_map(of)
        });
        set.unwrap_or(Line { key: "interval", value: "auto".into(), origin: Origin::Default })
    }

    fn windows(&self, config: &Config) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (section, window) in self.root.tables("window").iter().zip(&config.windows) {
            let mut block = self.block("window", section);
            block.follows("name", window.name.as_str(), "its place in the file");
            let zone = window.hours.time_zone.name();
            block.follows("time_zone", zone, "the file's `time_zone`");
            block.means("time_zone", zone);
            blocks.push(block);
        }
        blocks
    }

    fn blackouts(&self, config: &Config) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (section, blackout) in self.root.tables("blackout").iter().zip(&config.blackouts) {
            let mut block = self.block("blackout", section);
            block.follows("name", blackout.name.as_str(), "its place in the file");
            blocks.push(block);
        }
        blocks
    }

    /// All users, also disabled ones. Groups are shown by their effect on users.
    fn users(&self, config: &Config) -> Vec<Block> {
        let groups = self.everywhere("group");
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, group) in groups.iter().enumerate() {
            places.entry(group.text("name").unwrap_or_default()).or_default().push(at);
        }
        let poll = self.root.table("poll", "poll");
        let only = config.orgs.first().map_or("default", |org| org.name.as_str());
        let mut blocks = Vec::new();
        for section in self.everywhere("user") {
            let mut block = self.block("user", &section);
            let items = section.raw("groups").and_then(|raw| raw.items()).unwrap_or_default();
            let named = items.iter().filter_map(|item| places.get(item.value.as_str()?));
            // The last group of the file comes first.
            let own: BTreeSet<usize> = named.flatten().copied().collect();
            let of_groups = own.iter().rev().map(|at| &groups[*at]);
            block.set(self.cadence([&section].into_iter().chain(of_groups).chain([&poll])));
            block.follows("name", section.text("union_id").unwrap_or_default(), "the unionId");
            block.follows("org", only, "the only organisation");
            blocks.push(block);
        }
        blocks
    }

    /// What was included is part of what is shown.
    fn watch(&self) -> Block {
        let mut block = self.block("watch", &self.root.table("watch", "watch"));
        for line in block.lines.iter_mut().filter(|line| line.key == "include") {
            line.value = Value::Array(Vec::new());
            line.origin = Origin::From("included files are shown here");
        }
        block
    }

    /// The webhooks; defaults are shown in each.
    fn webhooks(&self, config: &Config) -> Vec<Block> {
        let defaults = Rc::new(self.root.table("webhook_defaults", "webhook_defaults"));
        let mut blocks = Vec::new();
        for (section, webhook) in self.root.tables("webhook").into_iter().zip(&config.webhooks) {
            let section = section.over(&defaults);
            let mut block = self.block("webhook", &section);
            if matches!(webhook.format, Format::Standard | Format::CloudEvents) {
                block.lines.retain(|line| line.key != "template");
            }
            block.means_path("ca_file", webhook.ca_file.as_deref());
            if let Some(Ok(value)) = webhook
                .success
                .as_ref()
                .map(|(json, equals)| Value::try_from(serde_json::json!({ "json": json, "equals": equals })))
            {
                block.follows("success", value, "the template's own");
            }
            blocks.push(block);
            blocks.push(self.block("webhook.backoff", &section.table("backoff", "webhook.backoff")));
        }
        blocks
    }

    fn rest(&self, config: &Config) -> Vec<Block> {
        let history = self.root.table("history", "history");
        let http = self.root.table("http", "http");
        let mut blocks = vec![
            self.block("history", &history),
            self.block("history.backup", &history.table("backup", "history.backup")),
            self.block("privacy", &self.root.table("privacy", "privacy")),
            self.block("http", &http),
        ];
        let access = http.tables_at("access", "http.access");
        blocks.extend(access.iter().map(|section| self.block("http.access", section)));
        blocks.push(self.block("log", &self.root.table("log", "log")));
        blocks[0].means_path("path", Some(&config.history.path));
        blocks[1].means_path("dir", config.history.backup_dir.as_deref());
        blocks
    }
}

impl Block {
    /// What a value that is set comes to: the absolute path, the zone behind `local`.
    fn means(&mut self, key: &str, value: &str) {
        for line in self.lines.iter_mut().filter(|line| line.key == key) {
            line.value = value.into();
        }
    }

    fn means_path(&mut self, key: &str, path: Option<&Path>) {
        if let Some(path) = path {
            self.means(key, &path.display().to_string());
        }
    }

    /// A value that follows from something else where it is not set.
    fn follows(&mut self, key: &'static str, value: impl Into<Value>, from: &'static str) {
        if !self.lines.iter().any(|line| line.key == key) {
            self.insert(Line { key, value: value.into(), origin: Origin::From(from) });
        }
    }

    /// The cadence: `interval` and `cron` exclude each other.
    fn set(&mut self, cadence: Line) {
        self.lines.retain(|line| !matches!(line.key, "interval" | "cron"));
        self.insert(cadence);
    }

    fn insert(&mut self, line: Line) {
        self.lines.push(line);
        let place = |line: &Line| self.table.all_keys().position(|key| key.name == line.key);
        self.lines.sort_by_key(place);
    }
}

/// A default of the reference.
fn parsed(toml: &str) -> Option<Value> {
    toml::from_str::<toml::Table>(&format!("x = {toml}")).ok()?.remove("x")
}

/// A value of the file without its places.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.to_string()), Value::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Value::String(number.to_string()), Value::Float)
        }
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| plain(item.get_ref())).collect()),
        DeValue::Table(table) => Value::Table(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref()))).collect(),
        ),
    }
}
