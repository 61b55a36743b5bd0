//! What there is to reach.

use super::CPU;
use super::subject::Subject;
use crate::report::{Figure, Goal, Limit, value_of};
use crate::turns::PEAK;

/// What is to be reached, and what was.
pub fn goals(figures: &[Figure]) -> Vec<Goal> {
    let cpu = |subject: Subject, case: &str| value_of(figures, subject.name(), case, CPU);
    let ratio =
        |above: Subject, below: Subject, case: &str| Some(cpu(above, case)? / cpu(below, case)?);
    let peaks = figures
        .iter()
        .filter(|figure| figure.subject == Subject::Transload.name() && figure.metric == PEAK);
    vec![
        Goal {
            what: "CPU: transload / floor, records-1000".into(),
            reached: ratio(Subject::Transload, Subject::Floor, "records-1000"),
            limit: Limit::AtMost(1.4),
        },
        Goal {
            what: "CPU: transload / floor, records-10000".into(),
            reached: ratio(Subject::Transload, Subject::Floor, "records-10000"),
            limit: Limit::AtMost(1.4),
        },
        Goal {
            what: "CPU: python-handler / transload, records-1000".into(),
            reached: ratio(Subject::PythonHandler, Subject::Transload, "records-1000"),
            limit: Limit::AtLeast(10.0),
        },
        Goal {
            what: "CPU: python-handler / transload, records-10000".into(),
            reached: ratio(Subject::PythonHandler, Subject::Transload, "records-10000"),
            limit: Limit::AtLeast(10.0),
        },
        Goal {
            what: "peak RSS of transload in any case, MB".into(),
            reached: peaks.map(|figure| figure.value).reduce(f64::max),
            limit: Limit::AtMost(64.0),
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
            figure(Subject::Transload, "records-1000", CPU, 6.0),
            figure(Subject::Floor, "records-1000", CPU, 5.0),
            figure(Subject::PythonHandler, "records-1000", CPU, 66.0),
            figure(Subject::Transload, "records-10000", CPU, 8.0),
            figure(Subject::PythonHandler, "records-10000", CPU, 96.0),
            figure(Subject::Transload, "records-1000", PEAK, 30.0),
            figure(Subject::Transload, "records-10000", PEAK, 32.0),
            figure(Subject::PythonHandler, "records-1000", PEAK, 600.0),
        ];
        let reached: Vec<_> = goals(&figures).iter().map(|goal| goal.reached).collect();
        assert_eq!(
            reached,
            [Some(1.2), None, Some(11.0), Some(12.0), Some(32.0)]
        );
    }
}
