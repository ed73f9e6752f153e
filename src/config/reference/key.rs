//! The description of a table and of a key.
//!
//! Guards: every key has a kind, a default and a sentence. Not here: the descriptions (`tables` and the files beside it).

use super::kind::Kind;

/// One table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its path without indices; empty: the top of the file.
    pub path: &'static str,
    /// Whether there may be several: `[[user]]`.
    pub many: bool,
    /// Its purpose: the comment above it in the example.
    pub about: &'static str,
    /// What uses it at run time.
    pub used_by: &'static str,
    /// The page with more about it.
    pub see: &'static str,
    /// Its own keys, in the order of the example.
    pub keys: &'static [Key],
    /// Another table, whose keys are valid here too.
    pub also: Option<&'static Table>,
}

impl Table {
    /// Its header: `[poll]`, `[[user]]`.
    pub fn header(&self) -> String {
        if self.many { format!("[[{}]]", self.path) } else { format!("[{}]", self.path) }
    }

    /// Its keys and those of `also`.
    pub fn all_keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().chain(self.also.map_or(&[][..], |table| table.keys))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// What applies when it is left out.
    pub absent: Absent,
    /// Its meaning in one sentence: the comment above it in the example.
    pub about: &'static str,
    /// Further information; may be empty.
    pub more: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
    /// When a change takes effect.
    pub effect: Effect,
}

/// What applies when a key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// This value, as TOML.
    Default(&'static str),
    /// This effect.
    Means(&'static str),
    /// It is required under this condition; empty: always.
    Refused(&'static str),
}

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At the next reload.
    Reload,
    /// At the next start.
    Restart,
}

/// Keys, each as `name: Kind, "meaning", or "default", more "further information", at_start;`. What follows the meaning are
/// methods of [`Key`]; a value is TOML.
macro_rules! keys {
    ($($name:ident: $kind:ident $(($($argument:tt)*))? $({ $($field:tt)* })?, $about:expr
        $(, $method:ident $($value:literal)?)*;)*) => {
        &[$(Key::new(stringify!($name), Kind::$kind $(($($argument)*))? $({ $($field)* })?, $about)
            $(.$method($($value)?))*),*]
    };
}
pub(super) use keys;

impl Key {
    pub(super) const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        let absent = match kind {
            Kind::Table(_) | Kind::Tables(_) => Absent::Means("its keys have their defaults"),
            _ => Absent::Refused(""),
        };
        Self { name, kind, absent, about, more: "", example: "", effect: Effect::Reload }
    }

    /// With this default, which is also the example.
    pub(super) const fn or(mut self, default: &'static str) -> Self {
        self.absent = Absent::Default(default);
        self.example = default;
        self
    }

    /// Optional, with this effect if left out.
    pub(super) const fn unset(mut self, means: &'static str) -> Self {
        self.absent = Absent::Means(means);
        self
    }

    /// Required under this condition.
    pub(super) const fn needed(mut self, when: &'static str) -> Self {
        self.absent = Absent::Refused(when);
        self
    }

    pub(super) const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    pub(super) const fn more(mut self, more: &'static str) -> Self {
        self.more = more;
        self
    }

    pub(super) const fn at_start(mut self) -> Self {
        self.effect = Effect::Restart;
        self
    }
}
