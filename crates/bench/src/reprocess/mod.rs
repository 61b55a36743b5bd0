//! The bench `reprocess`: pending items of a table into objects, and marked as done.

mod check;
pub mod floor;
mod goals;
pub mod items;
mod subject;

use std::time::Instant;

use clap::ValueEnum;

use crate::endpoint::Work;
use crate::process::{EndpointCommand, Run};
use crate::report::Figure;
use crate::turns::{BenchError, PEAK, Task, figure, least, most_memory_mb, take_turns};
use check::check;

pub use goals::goals;
pub use subject::{Places, Subject};

const NAME: &str = "reprocess";
const WALL: &str = "wall_seconds";
const CPU: &str = "cpu_seconds";
/// The least wall time that there can be, calculated.
const CALCULATED: &str = "calculated_wall_seconds";
/// How long each call takes.
const DELAY_MS: u64 = 5;
/// How many calls may be under way at once.
const CONCURRENCY: u32 = 32;

/// What is made of the items; each is a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One object an item.
    Objects,
    /// One object a page of the index.
    Bundles,
}

impl Output {
    const ALL: [Self; 2] = [Self::Objects, Self::Bundles];

    /// Its name, for subjects and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Bundles => "bundles",
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Pending items.
    pub items: u64,
    /// How many of them Python gets; its figures are then those of all of them at the rate of these.
    pub peer_items: u64,
    /// How often each case is measured (Python: once).
    pub repeats: u32,
    /// Who is measured; empty means everybody.
    pub only: Vec<Subject>,
}

impl Extent {
    fn subjects(&self) -> impl Iterator<Item = Subject> {
        Subject::ALL
            .into_iter()
            .filter(|subject| self.only.is_empty() || self.only.contains(subject))
    }

    /// Who reprocesses how many items, how often. Where Python gets a part of them, its runs with none tell what its start takes.
    fn plan(&self) -> Vec<(Subject, u64, u32)> {
        self.subjects()
            .flat_map(|subject| match subject {
                Subject::PythonSequential if self.peer_items < self.items => {
                    vec![(subject, 0, 1), (subject, self.peer_items, 1)]
                }
                Subject::PythonSequential => vec![(subject, self.items, 1)],
                Subject::Transload | Subject::Floor => vec![(subject, self.items, self.repeats)],
            })
            .collect()
    }
}

/// Measures every case and subject. `tell` gets a line for a person as each thing begins.
///
/// # Errors
/// The first run that failed, or whose items were not all reprocessed: its figures would mean nothing.
pub fn measure(
    extent: &Extent,
    places: &Places,
    now: fn() -> Instant,
    tell: &dyn Fn(&str),
) -> Result<Vec<Figure>, BenchError> {
    std::fs::create_dir_all(&places.work)
        .map_err(|error| BenchError::File(places.work.clone(), error.into()))?;
    let plan = extent.plan();
    let mut figures = Vec::new();
    for output in Output::ALL {
        let tasks: Vec<_> = plan
            .iter()
            .map(|(subject, items, repeats)| task(*subject, output, *items, *repeats, places))
            .collect();
        let runs = take_turns(&tasks, now, tell)?;
        let mut start = None;
        for (((subject, items, _), task), runs) in plan.iter().zip(&tasks).zip(&runs) {
            let used = Used::least_of(runs);
            tell(&told(task, &used, runs));
            if *items == 0 {
                start = Some(used);
                continue;
            }
            let used = match start.take() {
                Some(start) => {
                    tell(&format!(
                        "{}, {}: the figures are those of {} items at this rate, and one start",
                        task.case, task.subject, extent.items
                    ));
                    used.scaled(&start, extent.items as f64 / *items as f64)
                }
                None => used,
            };
            figures.push(figure(NAME, task, WALL, used.wall));
            if *subject == Subject::Floor {
                let calculated = floor::calculated_seconds(output, extent.items);
                figures.push(figure(NAME, task, CALCULATED, calculated));
            }
            figures.push(figure(NAME, task, CPU, used.cpu));
            figures.push(figure(NAME, task, PEAK, most_memory_mb(runs)));
        }
    }
    Ok(figures)
}

/// What runs took, in seconds.
struct Used {
    wall: f64,
    cpu: f64,
}

impl Used {
    fn least_of(runs: &[Run]) -> Self {
        Self {
            wall: least(runs, |run| run.wall.as_secs_f64()),
            cpu: least(runs, |run| run.subject.cpu.as_secs_f64()),
        }
    }

    /// What so many times the work would take, with one start.
    fn scaled(&self, start: &Self, times: f64) -> Self {
        let scaled = |some: f64, start: f64| start + (some - start) * times;
        Self {
            wall: scaled(self.wall, start.wall),
            cpu: scaled(self.cpu, start.cpu),
        }
    }
}

fn told(task: &Task<'_>, used: &Used, runs: &[Run]) -> String {
    let endpoint_cpu = least(runs, |run| run.endpoint.cpu.as_secs_f64());
    let (calls, objects, at_once) = runs.last().map_or((0, 0, 0), |run| {
        let found = &run.counts.reprocessed;
        (
            found.calls.values().sum(),
            found.objects,
            found.most_at_once,
        )
    });
    format!(
        "{}, {}: {:.2} s for {}; {calls} calls, {at_once} at once at most, {objects} objects; the endpoint used \
         {endpoint_cpu:.2} CPU-s",
        task.case, task.subject, used.wall, task.amount
    )
}

fn task<'a>(
    subject: Subject,
    output: Output,
    items: u64,
    repeats: u32,
    places: &'a Places,
) -> Task<'a> {
    Task {
        subject: subject.name(),
        case: output.name(),
        amount: format!("{items} items"),
        repeats,
        endpoint: EndpointCommand {
            program: places.endpoint.clone(),
            work: Work::Pending(items),
            delay_ms: DELAY_MS,
            hand_back_percent: 0,
        },
        program: subject.program(places).to_owned(),
        command: Box::new(move |address| subject.command(address, output, items, places)),
        done_when: subject.done_when(),
        log: places
            .work
            .join(format!("reprocess-{}.log", subject.name())),
        check: Box::new(move |run| check(subject, output, items, &run.counts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_items_tells_what_all_would_take() {
        let (start, some) = (
            Used {
                wall: 0.5,
                cpu: 0.25,
            },
            Used {
                wall: 3.5,
                cpu: 0.75,
            },
        );
        let all = some.scaled(&start, 10.0);
        assert_eq!((all.wall, all.cpu), (30.5, 5.25));
    }

    #[test]
    fn only_python_gets_a_part_of_the_items() {
        let mut extent = Extent {
            items: 5_000,
            peer_items: 500,
            repeats: 1,
            only: Vec::new(),
        };
        let (ours, floor, python) = (
            Subject::Transload,
            Subject::Floor,
            Subject::PythonSequential,
        );
        assert_eq!(
            extent.plan(),
            [
                (ours, 5_000, 1),
                (floor, 5_000, 1),
                (python, 0, 1),
                (python, 500, 1)
            ]
        );
        extent.peer_items = 5_000;
        extent.repeats = 3;
        extent.only = vec![python, floor];
        assert_eq!(extent.plan(), [(floor, 5_000, 3), (python, 5_000, 1)]);
    }
}
