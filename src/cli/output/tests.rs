//! What answers look like, in every shape.

use std::time::Duration;

use super::*;

const COLUMNS: &[Column] = &[
    Column::new("who", "WHO").shrinking(),
    Column::data_only("union_id"),
    Column::new("joined_at", "SINCE"),
    Column::new("minutes", "MIN"),
    Column::new("meeting", "MEETING").shrinking(),
    Column::new("external", "EXTERNAL"),
];

fn printer(format: OutputFormat, width: usize) -> Printer {
    Printer { format, time_zone: chrono_tz::Asia::Shanghai, width, ..Printer::default() }
}

fn rows() -> Vec<Row> {
    let row = |name: &str, id: &str, minutes: i64, left: Cell| {
        Row::new(vec![
            name.into(),
            id.into(),
            Timestamp::from_ms(1_699_347_295_876).into(),
            minutes.into(),
            left,
            false.into(),
        ])
    };
    vec![
        row("李伟", "u1", 5, "654058f2411fe90147e68780".into()).styled(GOOD),
        row("Zoë \"Z\", the one with a very long name indeed", "u2", 1234, "65".into()),
        row("王小明王小明王小明王小明王小明王小明", "u3", 61, Cell::Nothing),
        row("evil\u{1b}[31m\nnick", "u4", 0, "x\u{202e}y".into()),
    ]
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_table_at_80_columns() {
    insta::assert_snapshot!(plain(&printer(OutputFormat::Table, 80).render(COLUMNS, &rows())));
}

#[test]
fn a_table_with_room() {
    insta::assert_snapshot!(plain(&printer(OutputFormat::Table, 200).render(COLUMNS, &rows())));
}

#[test]
fn a_table_too_narrow_for_its_columns_keeps_readable_ones() {
    insta::assert_snapshot!(plain(&printer(OutputFormat::Table, 20).render(COLUMNS, &rows())));
}

#[test]
fn every_line_of_a_table_is_one_row_in_its_colour() {
    let text = printer(OutputFormat::Table, 80).render(COLUMNS, &rows());
    assert_eq!(text.lines().count(), 5);
    assert!(text.lines().nth(1).unwrap().starts_with(&GOOD.render().to_string()));
}

#[test]
fn json_is_an_array_with_the_columns_order_and_utc_times() {
    insta::assert_snapshot!(printer(OutputFormat::Json, 80).render(COLUMNS, &rows()));
}

#[test]
fn json_lines_and_stored_bodies_are_left_alone() {
    let body = r#"{"z":1.0, "a":2}"#;
    let mut rows = rows();
    rows[1].json = Some(body.to_owned());
    let text = printer(OutputFormat::Jsonl, 80).render(COLUMNS, &rows);
    assert_eq!(text.lines().nth(1), Some(body));
    assert_eq!(text.lines().count(), 4);
}

#[test]
fn csv_quotes_what_needs_it() {
    insta::assert_snapshot!(printer(OutputFormat::Csv, 80).render(COLUMNS, &rows()));
}

#[test]
fn csv_text_is_no_formula_of_a_spreadsheet_and_numbers_stay() {
    let columns = [Column::new("id", "ID"), Column::new("n", "N")];
    for (text, field) in [
        ("=2+5", "'=2+5"),
        ("+49 30", "'+49 30"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=2+5", "'\t=2+5"),
        ("\u{200b}=2+5", "'\u{fffd}=2+5"),
        ("a\u{202e}b\u{2066}c", "a\u{fffd}b\u{fffd}c"),
        ("a\nb\u{7}", "\"a\nb\u{fffd}\""),
        ("＝2+5", "'＝2+5"),
        ("=HYPERLINK(\"http://x\",\"a\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"a\"\")\""),
        ("a=b", "a=b"),
        ("2026-11-23", "2026-11-23"),
    ] {
        let rows = [Row::new(vec![text.into(), (-5).into()])];
        let csv = printer(OutputFormat::Csv, 80).render(&columns, &rows);
        assert_eq!(csv, format!("id,n\n{field},-5\n"));
        let json: serde_json::Value =
            serde_json::from_str(&printer(OutputFormat::Jsonl, 80).render(&columns, &rows)).unwrap();
        assert_eq!(json["id"], text);
    }
}

#[test]
fn tables_and_remarks_hold_nothing_invisible() {
    let columns = [Column::new("who", "WHO")];
    let name = "a\u{202e}b\u{2066}c\u{200b}d\u{ad}e\u{2028}f";
    let rows = [Row::new(vec![name.into()])];
    assert_eq!(plain(&printer(OutputFormat::Table, 80).render(&columns, &rows)), "WHO\na�b�c�d�e�f\n");
    assert_eq!(harmless_lines("a\u{202e}\nb\u{1b}[1m"), "a�\nb\u{1b}[1m");
    let json = printer(OutputFormat::Jsonl, 80).render(&columns, &rows);
    assert!(json.contains('\u{202e}') && json.contains('\u{200b}'), "{json}");
}

#[test]
fn ages_are_said_in_the_unit_that_fits() {
    let ages = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|s| ago(Duration::from_secs(s)));
    let said = ["0 s ago", "119 s ago", "2 min ago", "119 min ago", "2 h ago", "47 h ago", "2 days ago"];
    assert_eq!(ages, said);
}

#[test]
fn a_word_longer_than_the_line_stays_whole() {
    assert_eq!(folded("一二 三四 wordsaredear", 8), ["一二", "三四", "wordsaredear"]);
}

#[test]
fn what_is_for_people_only_is_not_in_the_data() {
    let columns = [Column::table_only("CHECKED"), Column::data_only("checked_s_ago")];
    let rows = [Row::new(vec!["5 s ago".into(), 5.into()])];
    let render = |format| plain(&printer(format, 80).render(&columns, &rows));
    assert_eq!(render(OutputFormat::Table), "CHECKED\n5 s ago\n");
    assert_eq!(render(OutputFormat::Jsonl), "{\"checked_s_ago\":5}\n");
    assert_eq!(render(OutputFormat::Csv), "checked_s_ago\n5\n");
}

#[test]
fn nothing_is_still_an_answer_for_programs() {
    assert_eq!(printer(OutputFormat::Json, 80).render(COLUMNS, &[]), "[]\n");
    assert_eq!(printer(OutputFormat::Jsonl, 80).render(COLUMNS, &[]), "");
    assert_eq!(
        printer(OutputFormat::Csv, 80).render(COLUMNS, &[]),
        "who,union_id,joined_at,minutes,meeting,external\n"
    );
    assert_eq!(printer(OutputFormat::Table, 80).render(COLUMNS, &[]), "");
}

#[test]
fn a_header_that_is_cut_costs_no_row() {
    let columns = [
        Column::new("a", "a_long_name_of_a_column").shrinking(),
        Column::new("b", "another_long_name").shrinking(),
    ];
    let rows: Vec<Row> = (0..3).map(|n| Row::new(vec![format!("row {n}").into(), "x".into()])).collect();
    let printer =
        Printer { format: OutputFormat::Table, time_zone: Tz::UTC, width: 24, ..Printer::default() };
    let shown = anstream::adapter::strip_str(&printer.render(&columns, &rows)).to_string();
    assert_eq!(shown.lines().count(), 4, "{shown}");
    assert!(shown.contains("row 2"), "{shown}");
}

#[test]
fn numbers_stand_to_the_right_unless_words_are_among_them() {
    let columns = [Column::new("n", "N"), Column::new("value", "VALUE")];
    let row = |n: Cell, value: Cell| Row::new(vec![n, value]);
    let rows = [
        row(Cell::Real(7.5), Cell::Number(12)),
        row(Cell::Nothing, "twelve".into()),
        row(12.into(), Cell::Nothing),
    ];
    let table = printer(OutputFormat::Table, 80).render(&columns, &rows);
    assert_eq!(plain(&table), "  N  VALUE\n7.5  12\n  -  twelve\n 12  -\n");
    assert_eq!(printer(OutputFormat::Csv, 80).render(&columns, &rows), "n,value\n7.5,12\n,twelve\n12,\n");
    let json = printer(OutputFormat::Jsonl, 80).render(&columns, &rows);
    assert!(json.starts_with("{\"n\":7.5,\"value\":12}\n"), "{json}");
}

#[test]
fn a_cut_text_ends_with_an_ellipsis_and_fits() {
    assert_eq!(padded("Li Wei", 8), "Li Wei  ");
    assert_eq!(padded("2iPOLbpUNMLzB5LuwggiiqiPwiEiE", 8), "2iPOLbp…");
    assert_eq!(padded("王小明王小明", 6), "王小… ");
    assert_eq!((cut("ab", 2), cut("abc", 2), cut("abc", 0)), ("ab".into(), "a…".into(), String::new()));
}

#[test]
fn a_column_that_shrinks_last_stays_whole_while_another_can_be_cut() {
    let columns = [Column::new("type", "TYPE").shrinking_last(), Column::new("error", "ERROR").shrinking()];
    let rows = [Row::new(vec!["participant_joined".into(), "the receiver answered 503".into()])];
    let text = plain(&printer(OutputFormat::Table, 34).render(&columns, &rows));
    assert_eq!(text.lines().nth(1), Some("participant_joined  the receiver …"));
}
