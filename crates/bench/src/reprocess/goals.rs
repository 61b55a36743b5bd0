//! What there is to reach.

use super::subject::Subject;
use super::{CALCULATED, Output, WALL};
use crate::report::{Figure, Goal, Limit, value_of};
use crate::turns::PEAK;

/// What is to be reached, and what was. The floor of a goal is the calculated one: no endpoint can make it worse.
pub fn goals(figures: &[Figure]) -> Vec<Goal> {
    let of = |subject: Subject, output: Output, metric: &str| {
        value_of(figures, subject.name(), output.name(), metric)
    };
    let wall = |output| of(Subject::Transload, output, WALL);
    let above_floor = |output| Some(wall(output)? / of(Subject::Floor, output, CALCULATED)?);
    let ahead_of_python =
        |output| Some(of(Subject::PythonSequential, output, WALL)? / wall(output)?);
    let peaks = figures
        .iter()
        .filter(|figure| figure.subject == Subject::Transload.name() && figure.metric == PEAK);
    vec![
        Goal {
            what: "wall: transload / calculated floor, objects".into(),
            reached: above_floor(Output::Objects),
            limit: Limit::AtMost(1.5),
        },
        Goal {
            what: "wall: transload / calculated floor, bundles".into(),
            reached: above_floor(Output::Bundles),
            limit: Limit::AtMost(1.5),
        },
        Goal {
            what: "wall: python-sequential / transload, objects".into(),
            reached: ahead_of_python(Output::Objects),
            limit: Limit::AtLeast(20.0),
        },
        Goal {
            what: "wall: python-sequential / transload, bundles".into(),
            reached: ahead_of_python(Output::Bundles),
            limit: Limit::AtLeast(20.0),
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
        let figure = |subject: Subject, output: Output, metric: &str, value| Figure {
            bench: NAME.to_owned(),
            subject: subject.name().to_owned(),
            case: output.name().to_owned(),
            metric: metric.to_owned(),
            value,
        };
        let (ours, floor, python) = (
            Subject::Transload,
            Subject::Floor,
            Subject::PythonSequential,
        );
        let figures = [
            figure(ours, Output::Objects, WALL, 3.0),
            figure(floor, Output::Objects, WALL, 2.75),
            figure(floor, Output::Objects, CALCULATED, 2.5),
            figure(python, Output::Objects, WALL, 90.0),
            figure(ours, Output::Bundles, WALL, 2.0),
            figure(python, Output::Bundles, WALL, 50.0),
            figure(ours, Output::Objects, PEAK, 20.0),
            figure(ours, Output::Bundles, PEAK, 22.0),
            figure(python, Output::Bundles, PEAK, 60.0),
        ];
        let reached: Vec<_> = goals(&figures).iter().map(|goal| goal.reached).collect();
        assert_eq!(
            reached,
            [Some(1.2), None, Some(30.0), Some(25.0), Some(22.0)]
        );
    }
}
