//! What there is to reach.

use super::subject::Subject;
use super::{CPU, RATE, SIZE_2_GB, SIZE_100_MB};
use crate::report::{Figure, Goal, Limit, value_of};
use crate::turns::PEAK;

/// What is to be reached, and what was.
pub fn goals(figures: &[Figure]) -> Vec<Goal> {
    let transload = Subject::Transload.name();
    let of = |subject: Subject, case: &str, metric: &str| {
        value_of(figures, subject.name(), case, metric)
    };
    let ours = |case: &str, metric: &str| of(Subject::Transload, case, metric);
    let ratio = |above: Option<f64>, below: Option<f64>| Some(above? / below?);
    let peaks = figures
        .iter()
        .filter(|figure| figure.subject == transload && figure.metric == PEAK);
    vec![
        Goal {
            what: "CPU: transload / bare-sdk, delay-0ms".into(),
            reached: ratio(
                ours("delay-0ms", CPU),
                of(Subject::BareSdk, "delay-0ms", CPU),
            ),
            limit: Limit::AtMost(1.3),
        },
        Goal {
            what: "CPU: boto3-batch-writer / transload, delay-0ms".into(),
            reached: ratio(
                of(Subject::Boto3BatchWriter, "delay-0ms", CPU),
                ours("delay-0ms", CPU),
            ),
            limit: Limit::AtLeast(20.0),
        },
        Goal {
            what: "rows/s: transload / sample-handler, delay-5ms".into(),
            reached: ratio(
                ours("delay-5ms", RATE),
                of(Subject::SampleHandler, "delay-5ms", RATE),
            ),
            limit: Limit::AtLeast(30.0),
        },
        Goal {
            what: "peak RSS of transload in any case, MB".into(),
            reached: peaks.map(|figure| figure.value).reduce(f64::max),
            limit: Limit::AtMost(64.0),
        },
        Goal {
            what: "peak RSS of transload: size-2gb / size-100mb".into(),
            reached: ratio(ours(SIZE_2_GB, PEAK), ours(SIZE_100_MB, PEAK)),
            limit: Limit::AtMost(1.1),
        },
        Goal {
            what: "minutes of one core for 25 million rows, delay-0ms".into(),
            reached: ours("delay-0ms", CPU).map(|seconds| seconds * 25.0 / 60.0),
            limit: Limit::AtMost(15.0),
        },
    ]
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
        let figures = [
            figure(Subject::Transload, "delay-0ms", CPU, 6.0),
            figure(Subject::BareSdk, "delay-0ms", CPU, 5.0),
            figure(Subject::Boto3BatchWriter, "delay-0ms", CPU, 180.0),
            figure(Subject::Transload, "delay-5ms", RATE, 60_000.0),
            figure(Subject::SampleHandler, "delay-5ms", RATE, 1_500.0),
            figure(Subject::Transload, "delay-0ms", PEAK, 30.0),
            figure(Subject::Transload, SIZE_100_MB, PEAK, 32.0),
            figure(Subject::SampleHandler, "delay-0ms", PEAK, 600.0),
        ];
        let reached: Vec<_> = goals(&figures).iter().map(|goal| goal.reached).collect();
        assert_eq!(
            reached,
            [
                Some(1.2),
                Some(30.0),
                Some(40.0),
                Some(32.0),
                None,
                Some(2.5)
            ]
        );
    }
}
