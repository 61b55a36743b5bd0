//! Figures as lines of JSON for machines, and as tables with goals for people. Every bench reports in the same way.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// One measured figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name of the bench, such as `ingest`.
    pub bench: String,
    /// What was measured, such as `transload`.
    pub subject: String,
    /// Under which circumstances, such as `delay-5ms`.
    pub case: String,
    /// What is counted, its unit in the name, such as `peak_rss_mb`.
    pub metric: String,
    /// How much.
    pub value: f64,
}

/// Figures as JSON, one object a line.
pub fn json_lines(figures: &[Figure]) -> String {
    figures
        .iter()
        .map(|figure| {
            let line =
                serde_json::to_string(figure).expect("a figure has only strings and a number");
            line + "\n"
        })
        .collect()
}

/// The figure that a subject has in a case.
pub fn value_of(figures: &[Figure], subject: &str, case: &str, metric: &str) -> Option<f64> {
    figures
        .iter()
        .find(|figure| figure.subject == subject && figure.case == case && figure.metric == metric)
        .map(|figure| figure.value)
}

/// A row for each case and subject, a column for each metric, in the order in which they first come.
pub fn table(figures: &[Figure]) -> String {
    let metrics = distinct(figures, |figure| &figure.metric);
    let mut rows = vec![vec!["case".to_owned(), "subject".to_owned()]];
    rows[0].extend(metrics.iter().map(|metric| metric.replace('_', " ")));
    for case in distinct(figures, |figure| &figure.case) {
        for subject in distinct(figures, |figure| &figure.subject) {
            let cells = metrics
                .iter()
                .map(|metric| value_of(figures, subject, case, metric));
            let cells: Vec<_> = cells.collect();
            if cells.iter().any(Option::is_some) {
                let mut row = vec![case.to_owned(), subject.to_owned()];
                row.extend(
                    cells
                        .into_iter()
                        .map(|cell| cell.map_or("-".to_owned(), number)),
                );
                rows.push(row);
            }
        }
    }
    aligned(&rows, 2)
}

/// What a goal allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// Something to reach.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// What is compared.
    pub what: String,
    /// What was reached; nothing where it was not measured.
    pub reached: Option<f64>,
    /// What is to be reached.
    pub limit: Limit,
}

impl Goal {
    /// Whether it is reached; nothing where it was not measured.
    pub fn is_met(&self) -> Option<bool> {
        self.reached.map(|reached| match self.limit {
            Limit::AtMost(limit) => reached <= limit,
            Limit::AtLeast(limit) => reached >= limit,
        })
    }
}

/// A row for each goal.
pub fn goal_table(goals: &[Goal]) -> String {
    let mut rows = vec![
        ["goal", "reached", "wanted", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for goal in goals {
        let wanted = match goal.limit {
            Limit::AtMost(limit) => format!("at most {}", number(limit)),
            Limit::AtLeast(limit) => format!("at least {}", number(limit)),
        };
        let verdict = match goal.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        let reached = goal.reached.map_or("-".to_owned(), number);
        rows.push(vec![goal.what.clone(), reached, wanted, verdict.to_owned()]);
    }
    aligned(&rows, 1)
}

fn distinct<'a>(figures: &'a [Figure], name: impl Fn(&'a Figure) -> &'a String) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in figures.iter().map(name) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// Three digits or so: more would be noise.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Columns of equal width; the first `left` of them and the last where it is empty in the header start at their left.
fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let starts_left = column < left || rows[0][column].is_empty();
            let cell = match starts_left {
                true => format!("{cell:<width$}  "),
                false => format!("{cell:>width$}  "),
            };
            line.push_str(&cell);
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(subject: &str, case: &str, metric: &str, value: f64) -> Figure {
        Figure {
            bench: "ingest".to_owned(),
            subject: subject.to_owned(),
            case: case.to_owned(),
            metric: metric.to_owned(),
            value,
        }
    }

    #[test]
    fn a_line_of_json_has_the_five_members_in_this_order() {
        let figures = [figure(
            "transload",
            "delay-5ms",
            "cpu_seconds_per_million_rows",
            5.25,
        )];
        assert_eq!(
            json_lines(&figures),
            "{\"bench\":\"ingest\",\"subject\":\"transload\",\"case\":\"delay-5ms\",\
             \"metric\":\"cpu_seconds_per_million_rows\",\"value\":5.25}\n"
        );
    }

    #[test]
    fn the_table_has_a_dash_where_nothing_was_measured() {
        let figures = [
            figure("a", "one", "rows_per_second", 123_456.0),
            figure("a", "one", "peak_rss_mb", 9.876),
            figure("bcd", "two", "peak_rss_mb", 45.67),
        ];
        assert_eq!(
            table(&figures),
            "case  subject  rows per second  peak rss mb\n\
             one   a                 123456         9.88\n\
             two   bcd                    -         45.7\n"
        );
    }

    #[test]
    fn goals_are_met_missed_or_not_measured() {
        let goal = |reached, limit| Goal {
            what: "x".into(),
            reached,
            limit,
        };
        assert_eq!(goal(Some(1.3), Limit::AtMost(1.3)).is_met(), Some(true));
        assert_eq!(goal(Some(1.31), Limit::AtMost(1.3)).is_met(), Some(false));
        assert_eq!(goal(Some(19.0), Limit::AtLeast(20.0)).is_met(), Some(false));
        assert_eq!(goal(None, Limit::AtLeast(20.0)).is_met(), None);
        assert_eq!(
            goal_table(&[
                goal(Some(19.0), Limit::AtLeast(20.0)),
                goal(None, Limit::AtMost(1.5))
            ]),
            "goal  reached         wanted\n\
             x        19.0  at least 20.0  MISSED\n\
             x           -   at most 1.50  not measured\n"
        );
    }
}
