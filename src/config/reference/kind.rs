//! Kinds of values, and their names for people.
//!
//! Guards: one name for one kind. Not here: kinds as JSON Schema (`schema`), reading values (`config::value`).

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number, and what it counts.
    Number {
        /// The least that is taken.
        least: u32,
        /// What is counted.
        unit: &'static str,
    },
    /// A number of 1.0 or more.
    Factor,
    /// A duration with its unit, or one of these words.
    Duration(&'static [&'static str]),
    /// One of these words.
    Choice(&'static [&'static str]),
    Text,
    Texts,
    /// Pairs of texts.
    Pairs,
    /// A path, relative to the config.
    Path,
    /// A list of paths with `*` in the last part.
    Globs,
    /// An IANA time zone, or `local`.
    Zone,
    /// A cron expression.
    Cron,
    /// `HH:MM`.
    TimeOfDay,
    /// Days of the week.
    Days,
    Dates,
    /// An `http` or `https` URL.
    Url,
    /// An `http` or `https` URL, or a reference to a secret.
    UrlOrSecret,
    /// A reference to a secret, or the secret.
    Secret,
    Secrets,
    /// Pairs whose values may be secrets.
    Headers,
    /// Names and patterns of events.
    Events,
    /// An address and a port.
    Listen,
    /// A level, or several with targets.
    Level,
    /// A JSON pointer.
    Pointer,
    /// A text, a number or a flag.
    Scalar,
    /// A table of this path.
    Table(&'static str),
    /// Several tables of this path.
    Tables(&'static str),
}

impl Kind {
    /// Its name for people.
    pub fn words(self) -> String {
        match self {
            Self::Flag => "true or false".into(),
            Self::Number { least, .. } => format!("a whole number, {least} or more"),
            Self::Factor => "a number, 1.0 or more".into(),
            Self::Duration(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                [quoted, vec!["a duration".to_owned()]].concat().join(" or ")
            }
            Self::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::Text => "a text".into(),
            Self::Texts => "a list of texts".into(),
            Self::Pairs => "pairs of texts".into(),
            Self::Path => "a path, relative to the config".into(),
            Self::Globs => "a list of paths, `*` in the last part of each".into(),
            Self::Zone => "an IANA time zone, or \"local\"".into(),
            Self::Cron => {
                "cron: 5 fields (minute first) or 6 (second first), weekdays by name; or @hourly and similar"
                    .into()
            }
            Self::TimeOfDay => "a time of day".into(),
            Self::Days => "a list of days of the week and ranges of them".into(),
            Self::Dates => "a list of dates and ranges of them".into(),
            Self::Url => "a URL".into(),
            Self::UrlOrSecret => "a URL, or a secret that holds one".into(),
            Self::Secret => "a secret".into(),
            Self::Secrets => "a secret, or a list of them".into(),
            Self::Headers => "pairs; values are texts or secrets".into(),
            Self::Events => "a list of event names, patterns (`meeting.*`), or `*`".into(),
            Self::Listen => "an IP address and a port; \"\" = off".into(),
            Self::Level => "a level, or several with modules".into(),
            Self::Pointer => "a JSON pointer".into(),
            Self::Scalar => "a text, a number or a flag".into(),
            Self::Table(_) => "a table".into(),
            Self::Tables(_) => "any number of tables".into(),
        }
    }

    /// Unit of the value; may be empty.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Number { unit, .. } => unit,
            Self::Factor => "times the previous wait",
            Self::Duration(_) => "ms, s, m, h, d or w, written with the number: `1h 30m`",
            _ => "",
        }
    }

    /// Spelling of values; may be empty.
    pub fn spelling(self) -> &'static str {
        match self {
            Self::TimeOfDay => "`HH:MM`, up to 24:00",
            Self::Days => "`mon` to `sun`, `mon-fri`",
            Self::Dates => "`2027-02-05`, `2027-02-05..2027-02-12` with both ends",
            Self::Secret | Self::Secrets | Self::UrlOrSecret | Self::Headers => {
                "{ credential = \"NAME\" }, { file = \"PATH\" }, { env = \"NAME\" }, \
                 { command = [\"PROGRAM\"] }, or a plain text"
            }
            _ => "",
        }
    }

    /// The path of the table it is, if it is one.
    pub fn inner(self) -> Option<&'static str> {
        match self {
            Self::Table(path) | Self::Tables(path) => Some(path),
            _ => None,
        }
    }

    /// Whether a value of it may be secret.
    pub fn may_be_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Secrets | Self::UrlOrSecret | Self::Headers)
    }
}
