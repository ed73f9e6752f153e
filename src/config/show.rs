//! The effective config: values after inheritance and defaults, each with the line that sets it.
//!
//! Guards: no secret is in it, also none of plain values, commands and URLs; read as a config, it is the same config. Not
//! here: printing it (`cli`).

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Sources};
use super::reference::{Absent, Key, Kind, Table, table};
use super::{Config, Format, Loaded};
use hidden::hidden;

mod hidden;

/// One table of the effective config.
#[derive(Clone, Debug)]
pub struct Block {
    /// Which.
    pub table: &'static Table,
    /// In the order of the reference.
    pub lines: Vec<Line>,
}

/// One effective value.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its key.
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
    /// The default.
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
    let layers: Vec<Layer<'_>> =
        documents.iter().enumerate().map(|(source, table)| Layer { table, source }).collect();
    let Some(&root) = layers.first() else { return Vec::new() };
    let files = Files { root, layers: &layers, sources: &loaded.sources, folder: folder(&loaded.sources) };
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

/// A table of one of the files.
#[derive(Clone, Copy, Debug)]
struct Layer<'a> {
    table: &'a DeTable<'a>,
    source: usize,
}

impl<'a> Layer<'a> {
    fn get(self, key: &str) -> Option<(&'a DeValue<'a>, Place)> {
        let value = self.table.get(key)?;
        Some((value.get_ref(), Place { source: self.source, span: value.span() }))
    }

    fn table(self, key: &str) -> Option<Self> {
        let table = self.table.get(key)?.get_ref().as_table()?;
        Some(Self { table, source: self.source })
    }

    fn tables(self, key: &str) -> Vec<Self> {
        let items = self.table.get(key).and_then(|value| value.get_ref().as_array());
        let tables = items.into_iter().flat_map(|items| items.iter());
        tables
            .filter_map(|item| item.get_ref().as_table())
            .map(|table| Self { table, source: self.source })
            .collect()
    }

    fn text(self, key: &str) -> Option<&'a str> {
        self.get(key)?.0.as_str()
    }
}

/// All the files of one config.
#[derive(Debug)]
struct Files<'a> {
    root: Layer<'a>,
    layers: &'a [Layer<'a>],
    sources: &'a Sources,
    folder: PathBuf,
}

impl<'a> Files<'a> {
    /// The tables of that name in all files, the main one's first.
    fn everywhere(&self, key: &str) -> Vec<Layer<'a>> {
        self.layers.iter().flat_map(|layer| layer.tables(key)).collect()
    }

    /// A table from those that may say what its keys are, the strongest first.
    fn block(&self, path: &str, layers: &[Layer<'_>]) -> Option<Block> {
        let table = table(path)?;
        let lines = table.all_keys().filter_map(|key| self.line(key, layers)).collect();
        Some(Block { table, lines })
    }

    fn line(&self, key: &'static Key, layers: &[Layer<'_>]) -> Option<Line> {
        // Tables have blocks of their own, but for the one that is inherited as a whole.
        if key.kind.inner().is_some_and(|path| path != "webhook.success") {
            return None;
        }
        let set = layers.iter().find_map(|layer| layer.get(key.name));
        match (set, key.absent) {
            (Some((value, place)), _) => Some(self.at(key.name, key.kind, value, &place)),
            (None, Absent::Default(default)) => {
                Some(Line { key: key.name, value: parsed(default)?, origin: Origin::Default })
            }
            (None, Absent::Means(_) | Absent::Refused(_)) => None,
        }
    }

    fn at(&self, key: &'static str, kind: Kind, value: &DeValue<'_>, place: &Place) -> Line {
        let value = hidden(kind, plain(value), &self.folder);
        let origin = self
            .sources
            .position(place)
            .map_or(Origin::Default, |at| Origin::At { file: at.file.to_owned(), line: at.line });
        Line { key, value, origin }
    }

    fn top(&self, config: &Config) -> Block {
        let mut block = self.block("", &[self.root]).unwrap_or_else(empty);
        block.means("time_zone", config.time_zone.name());
        block
    }

    /// The organisations; keys inherited from [dingtalk] are shown in each.
    fn orgs(&self, config: &Config) -> Vec<Block> {
        let shared = self.root.table("dingtalk");
        let own = self.everywhere("org");
        let several = !own.is_empty();
        let tables: Vec<Vec<Layer<'_>>> = if several {
            own.into_iter().map(|own| [own].into_iter().chain(shared).collect()).collect()
        } else {
            vec![shared.into_iter().collect()]
        };
        let mut blocks = Vec::new();
        for (layers, org) in tables.iter().zip(&config.orgs) {
            let Some(mut block) = self.block(if several { "org" } else { "dingtalk" }, layers) else {
                continue;
            };
            block.follows("api_base", org.api_base.as_str(), "that of `site`");
            block.follows("legacy_base", org.legacy_base.as_str(), "that of `site`");
            block.means("month_time_zone", org.month_time_zone.name());
            if let Some(file) = &org.ca_file {
                block.means("ca_file", &file.display().to_string());
            }
            blocks.push(block);
        }
        blocks
    }

    fn poll(&self) -> Vec<Block> {
        let layers: Vec<Layer<'_>> = self.root.table("poll").into_iter().collect();
        let backoff: Vec<Layer<'_>> = layers.iter().filter_map(|poll| poll.table("backoff")).collect();
        let mut poll = self.block("poll", &layers).unwrap_or_else(empty);
        poll.set(self.cadence(&layers));
        [Some(poll), self.block("poll.backoff", &backoff)].into_iter().flatten().collect()
    }

    /// The first `interval` or `cron` that is set.
    fn cadence(&self, layers: &[Layer<'_>]) -> Line {
        let set = layers.iter().find_map(|layer| {
            let of = |(key, kind)| layer.get(key).map(|(value, place)| self.at(key, kind, value, &place));
            [("interval", Kind::Text), ("cron", Kind::Cron)].into_iter().find_map(of)
        });
        set.unwrap_or(Line { key: "interval", value: "auto".into(), origin: Origin::Default })
    }

    fn windows(&self, config: &Config) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (layer, window) in self.root.tables("window").into_iter().zip(&config.windows) {
            let Some(mut block) = self.block("window", &[layer]) else { continue };
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
        for (layer, blackout) in self.root.tables("blackout").into_iter().zip(&config.blackouts) {
            let Some(mut block) = self.block("blackout", &[layer]) else { continue };
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
        let poll = self.root.table("poll");
        let only = config.orgs.first().map_or("default", |org| org.name.as_str());
        let mut blocks = Vec::new();
        for layer in self.everywhere("user") {
            let Some(mut block) = self.block("user", &[layer]) else { continue };
            let named = layer.get("groups").and_then(|(groups, _)| groups.as_array()).into_iter().flatten();
            // The last group of the file comes first.
            let own: BTreeSet<usize> = named
                .filter_map(|group| places.get(group.get_ref().as_str()?))
                .flat_map(|places| places.iter().copied())
                .collect();
            let of_groups = own.iter().rev().map(|at| groups[*at]);
            let cadences: Vec<Layer<'_>> = [layer].into_iter().chain(of_groups).chain(poll).collect();
            block.set(self.cadence(&cadences));
            block.follows("name", layer.text("union_id").unwrap_or_default(), "the unionId");
            block.follows("org", only, "the only organisation");
            blocks.push(block);
        }
        blocks
    }

    /// What was included is part of what is shown.
    fn watch(&self) -> Block {
        let layers: Vec<Layer<'_>> = self.root.table("watch").into_iter().collect();
        let mut block = self.block("watch", &layers).unwrap_or_else(empty);
        for line in block.lines.iter_mut().filter(|line| line.key == "include") {
            line.value = Value::Array(Vec::new());
            line.origin = Origin::From("included files are shown here");
        }
        block
    }

    /// The webhooks; defaults are shown in each.
    fn webhooks(&self, config: &Config) -> Vec<Block> {
        let defaults = self.root.table("webhook_defaults");
        let mut blocks = Vec::new();
        for (layer, webhook) in self.root.tables("webhook").into_iter().zip(&config.webhooks) {
            let layers: Vec<Layer<'_>> = [layer].into_iter().chain(defaults).collect();
            let Some(mut block) = self.block("webhook", &layers) else { continue };
            if matches!(webhook.format, Format::Standard | Format::CloudEvents) {
                block.lines.retain(|line| line.key != "template");
            }
            if let Some(file) = &webhook.ca_file {
                block.means("ca_file", &file.display().to_string());
            }
            if let Some(Ok(value)) = webhook
                .success
                .as_ref()
                .map(|(json, equals)| Value::try_from(serde_json::json!({ "json": json, "equals": equals })))
            {
                block.follows("success", value, "the template's own");
            }
            let backoff: Vec<Layer<'_>> = layers.iter().filter_map(|layer| layer.table("backoff")).collect();
            blocks.push(block);
            blocks.extend(self.block("webhook.backoff", &backoff));
        }
        blocks
    }

    fn rest(&self, config: &Config) -> Vec<Block> {
        let of = |path: &'static str| {
            let mut words = path.split('.');
            let first = words.next().and_then(|word| self.root.table(word));
            let layer = words.fold(first, |at, word| at.and_then(|at| at.table(word)));
            self.block(path, &layer.into_iter().collect::<Vec<_>>())
        };
        let mut blocks: Vec<Block> =
            ["history", "history.backup", "privacy", "http"].into_iter().filter_map(of).collect();
        let access = self.root.table("http").map(|http| http.tables("access")).unwrap_or_default();
        blocks.extend(access.into_iter().filter_map(|layer| self.block("http.access", &[layer])));
        blocks.extend(of("log"));
        for block in &mut blocks {
            match block.table.path {
                "history" => block.means("path", &config.history.path.display().to_string()),
                "history.backup" => {
                    if let Some(dir) = &config.history.backup_dir {
                        block.means("dir", &dir.display().to_string());
                    }
                }
                _ => {}
            }
        }
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

/// Only needed if a path has no description, which a test excludes.
fn empty() -> Block {
    Block { table: &super::reference::TABLES[0], lines: Vec::new() }
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
