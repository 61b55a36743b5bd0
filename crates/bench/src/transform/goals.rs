//! What there is to reach.

use super::subject::Subject;
use super::{CPU, Format, Shape};
use crate::report::{Figure, Goal, Limit, value_of};
use crate::turns::PEAK;

/// What is to be reached, and what was.
pub fn goals(figures: &[Figure]) -> Vec<Goal> {
    let ratio = |above: Subject, below: Subject, case: &str, metric: &str| {
        let value = |subject: Subject| value_of(figures, subject.name(), case, metric);
        Some(value(above)? / value(below)?)
    };
    let cpu = |above: Subject, below: Subject, case: &str, limit| Goal {
        what: format!("CPU: {} / {}, {case}", above.name(), below.name()),
        reached: ratio(above, below, case, CPU),
        limit,
    };
    let (ours, floor) = (Subject::Transload, Subject::Floor);
    let mut goals = Vec::new();
    for format in [Format::Zstd, Format::Gzip] {
        for shape in Shape::ALL {
            let case = shape.case(format);
            goals.extend([
                cpu(ours, floor, case, Limit::AtMost(1.15)),
                cpu(Subject::Duckdb, ours, case, Limit::AtLeast(8.0)),
                cpu(Subject::Boto3, ours, case, Limit::AtLeast(15.0)),
            ]);
        }
    }
    for shape in Shape::ALL {
        let case = shape.case(Format::Parquet);
        goals.push(cpu(Subject::Duckdb, ours, case, Limit::AtLeast(2.0)));
        goals.push(cpu(Subject::Polars, ours, case, Limit::AtLeast(4.0)));
        for peer in [Subject::Duckdb, Subject::Polars] {
            goals.push(Goal {
                what: format!("peak RSS: {} / transload, {case}", peer.name()),
                reached: ratio(peer, ours, case, PEAK),
                limit: Limit::AtLeast(4.0),
            });
        }
    }
    for (formats, memory, limit) in [
        (&[Format::Zstd, Format::Gzip][..], "JSON", 128.0),
        (&[Format::Parquet], "Parquet", 512.0),
    ] {
        let cases = formats
            .iter()
            .flat_map(|format| Shape::ALL.map(|shape| shape.case(*format)));
        let peaks = cases.filter_map(|case| value_of(figures, ours.name(), case, PEAK));
        goals.push(Goal {
            what: format!("peak RSS of transload with {memory}, MB"),
            reached: peaks.reduce(f64::max),
            limit: Limit::AtMost(limit),
        });
    }
    goals
}

#[cfg(test)]
mod tests {
    use super::super::NAME;
    use super::*;

    #[test]
    fn goals_divide_the_right_figures() {
        let figure = |subject: Subject, case: &str, metric: &str, value| Figure {
            bench: NAME.to_owned(),
            subject: subject.name().to_owned(),
            case: case.to_owned(),
            metric: metric.to_owned(),
            value,
        };
        let (json, parquet) = ("nested/json-gzip6", "flat/parquet-zstd1");
        let figures = [
            figure(Subject::Transload, json, CPU, 5.0),
            figure(Subject::Floor, json, CPU, 4.0),
            figure(Subject::Boto3, json, CPU, 50.0),
            figure(Subject::Duckdb, json, CPU, 15.0),
            figure(Subject::Transload, json, PEAK, 20.0),
            figure(Subject::Transload, parquet, CPU, 2.0),
            figure(Subject::Transload, parquet, PEAK, 90.0),
            figure(Subject::Duckdb, parquet, CPU, 7.0),
            figure(Subject::Duckdb, parquet, PEAK, 270.0),
            figure(Subject::Polars, parquet, PEAK, 450.0),
        ];
        let reached: Vec<_> = goals(&figures)
            .into_iter()
            .filter_map(|goal| Some((goal.what, goal.reached?)))
            .collect();
        let expected = [
            ("CPU: transload / floor, nested/json-gzip6", 1.25),
            ("CPU: duckdb / transload, nested/json-gzip6", 3.0),
            ("CPU: boto3 / transload, nested/json-gzip6", 10.0),
            ("CPU: duckdb / transload, flat/parquet-zstd1", 3.5),
            ("peak RSS: duckdb / transload, flat/parquet-zstd1", 3.0),
            ("peak RSS: polars / transload, flat/parquet-zstd1", 5.0),
            ("peak RSS of transload with JSON, MB", 20.0),
            ("peak RSS of transload with Parquet, MB", 90.0),
        ];
        assert_eq!(
            reached,
            expected.map(|(what, value)| (what.to_owned(), value))
        );
    }
}
