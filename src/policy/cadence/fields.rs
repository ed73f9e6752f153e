//! Fields of a cron expression: their number, and what each may contain.
//!
//! Guards: forms that other programs read differently (weekdays by number, day of month beside weekday, ranges that
//! wrap) are refused, and the error says what to write instead. Not here: whether such an instant ever occurs
//! (`cadence`).

use super::error::{CronError, refused};

pub(super) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const LONG_WEEKDAYS: [&str; 7] =
    ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// The six checked fields of an expression, second first, in upper case.
pub(super) fn checked(text: &str) -> Result<Vec<String>, CronError> {
    let fields = fields_of(text)?;
    for (kind, field) in KINDS.iter().zip(&fields) {
        kind.check(field)?;
    }
    if restricted(&fields[3]) && restricted(&fields[5]) {
        return Err(refused(
            "day of month and weekday are both restricted: cron(5) reads that as either, others as both",
            "leave one of the two `*`",
        ));
    }
    Ok(fields)
}

/// Splits an expression into six upper-case fields, second first.
fn fields_of(text: &str) -> Result<Vec<String>, CronError> {
    let upper = text.trim().to_ascii_uppercase();
    let spelled_out = match upper.as_str() {
        "@HOURLY" => "0 0 * * * *",
        "@DAILY" | "@MIDNIGHT" => "0 0 0 * * *",
        "@WEEKLY" => "0 0 0 * * SUN",
        "@MONTHLY" => "0 0 0 1 * *",
        "@YEARLY" | "@ANNUALLY" => "0 0 0 1 1 *",
        other if other.starts_with('@') => {
            return Err(refused(
                format!("`{}` is not known", text.trim()),
                "write `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, or five fields",
            ));
        }
        other => other,
    };
    let mut fields: Vec<String> = spelled_out.split_whitespace().map(str::to_owned).collect();
    match fields.len() {
        5 => fields.insert(0, "0".to_owned()),
        6 => {}
        count => {
            return Err(refused(
                format!("a cron expression has 5 fields, or 6 with seconds in front; here are {count}"),
                "minute hour day month weekday, for example `*/20 9-18 * * MON-FRI`",
            ));
        }
    }
    Ok(fields)
}

fn restricted(field: &str) -> bool {
    !matches!(field, "*" | "?")
}

/// Allowed values of one of the six fields.
struct Kind {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static [&'static str]],
    by_name_only: bool,
}

const fn numbers(name: &'static str, least: u32, most: u32) -> Kind {
    Kind { name, least, most, names: &[], by_name_only: false }
}

const KINDS: [Kind; 6] = [
    numbers("second", 0, 59),
    numbers("minute", 0, 59),
    numbers("hour", 0, 23),
    numbers("day of month", 1, 31),
    Kind { name: "month", least: 1, most: 12, names: &[&MONTHS], by_name_only: false },
    Kind { name: "weekday", least: 0, most: 7, names: &[&WEEKDAYS, &LONG_WEEKDAYS], by_name_only: true },
];

impl Kind {
    /// Checks one field: items separated by commas, each `*`, a value or a range, optionally with a step.
    fn check(&self, field: &str) -> Result<(), CronError> {
        if field == "?" && matches!(self.name, "day of month" | "weekday") {
            return Ok(());
        }
        if self.by_name_only {
            self.no_weekday_numbers(field)?;
        }
        field.split(',').try_for_each(|item| self.check_item(item))
    }

    fn check_item(&self, item: &str) -> Result<(), CronError> {
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        if let Some(step) = step
            && !step.parse::<u32>().is_ok_and(|step| (1..=self.most).contains(&step))
        {
            return Err(refused(
                format!("`{item}`: the step of a {} is a number from 1 to {}", self.name, self.most),
                "for example `*/20`",
            ));
        }
        if base == "*" {
            return Ok(());
        }
        let Some((first, last)) = base.split_once('-') else { return self.value(base).map(drop) };
        let (from, to) = (self.value(first)?, self.value(last)?);
        if from > to {
            return Err(refused(format!("the range `{base}` runs backwards"), self.unwrapped(from, to)));
        }
        Ok(())
    }

    fn value(&self, text: &str) -> Result<u32, CronError> {
        if let Some(at) = self.names.iter().find_map(|names| names.iter().position(|name| *name == text)) {
            // There are at most twelve names.
            return Ok(u32::try_from(at).unwrap_or(0) + u32::from(self.name == "month"));
        }
        match text.parse::<u32>() {
            Ok(number) if (self.least..=self.most).contains(&number) && !self.by_name_only => Ok(number),
            _ => Err(refused(
                format!("`{text}` is not a {}", self.name),
                match self.names {
                    [] => format!("from {} to {}", self.least, self.most),
                    [names, ..] => format!("write {} to {}", names[0], names[names.len() - 1]),
                },
            )),
        }
    }

    /// The correct form of a range that wraps.
    fn unwrapped(&self, from: u32, to: u32) -> String {
        let show = |value: u32| match self.names.first() {
            // `value` is an index into these names, or a month number from 1.
            Some(names) => names[(value - self.least) as usize % names.len()].to_owned(),
            None => value.to_string(),
        };
        let most = if self.by_name_only { 6 } else { self.most };
        let part = |a: u32, b: u32| if a == b { show(a) } else { format!("{}-{}", show(a), show(b)) };
        format!("write `{},{}`", part(from, most), part(self.least, to))
    }

    /// Refuses weekdays by number: 1 is Monday for cron(5) and Sunday for others.
    fn no_weekday_numbers(&self, field: &str) -> Result<(), CronError> {
        let mut named = String::new();
        let mut found = false;
        for item in field.split_inclusive([',', '-']) {
            let value = item.trim_end_matches([',', '-']);
            let (base, step) =
                value.split_once('/').map_or((value, ""), |(base, _)| (base, &value[base.len()..]));
            match base.parse::<usize>() {
                Ok(number) if number <= 7 => {
                    found = true;
                    named.push_str(WEEKDAYS[number % 7]);
                }
                Ok(_) => return Err(refused(format!("`{base}` is not a {}", self.name), "write SUN to SAT")),
                Err(_) => named.push_str(base),
            }
            named.push_str(step);
            named.push_str(&item[value.len()..]);
        }
        if found {
            return Err(refused(
                "weekdays by number mean different days to different programs",
                format!("write `{named}` for `{field}`"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &str) {
        checked(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    fn error(text: &str) -> String {
        let error = checked(text).expect_err(text);
        format!("{}; {}", error.message, error.help)
    }

    #[test]
    fn weekdays_are_accepted_by_name_only() {
        assert!(error("0 9 * * 1-5").ends_with("write `MON-FRI` for `1-5`"));
        assert!(error("0 9 * * 0,6").ends_with("write `SUN,SAT` for `0,6`"));
        assert!(error("0 9 * * 7").ends_with("write `SUN` for `7`"));
        assert!(error("0 9 * * MON,3").ends_with("write `MON,WED` for `MON,3`"));
        assert!(error("0 9 * * 9").contains("not a weekday"));
        accepted("0 9 * * mon-fri");
        accepted("0 9 * * monday");
        accepted("0 9 * * */2");
    }

    #[test]
    fn day_of_month_and_weekday_together_are_refused() {
        assert!(error("0 9 1 * MON").contains("both restricted"));
        accepted("0 9 ? * MON");
        accepted("0 9 1 * ?");
    }

    #[test]
    fn an_error_says_what_is_wrong_and_what_to_write() {
        assert!(error("* * * *").contains("here are 4"));
        assert!(error("* * * * * * *").contains("here are 7"));
        assert!(error("").contains("here are 0"));
        assert!(error("@never").contains("@hourly"));
        assert!(error("60 * * * *").contains("`60` is not a minute; from 0 to 59"));
        assert!(error("0 22-6 * * *").ends_with("write `22-23,0-6`"));
        assert!(error("0 9 * * SAT-MON").ends_with("write `SAT,SUN-MON`"));
        assert!(error("0 9 * NOV-FEB *").ends_with("write `NOV-DEC,JAN-FEB`"));
        assert!(error("*/0 * * * *").contains("step"));
        assert!(error("0 9 L * *").contains("not a day of month"));
        assert!(error("0 9 * * FRI#2").contains("not a weekday"));
    }
}
