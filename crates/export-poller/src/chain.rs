//! The chain of incremental windows: each begins where the last one ended.

use export_jobs::names::{CHAIN_PART, chain_job};
use export_jobs::{Row, Span, change, compact_time, incremental_window};
use lambda_support::Failure;
use serde::{Deserialize, Serialize};
use storage::{Clock, ExportView, Ledger, StorageError, Timestamp};

use crate::handler::Dependencies;

/// How far a table's incremental exports are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChainRow {
    kind: String,
    /// The table: one made again under the name begins a new chain.
    pub table_id: String,
    /// The first second that no window holds; nothing while only a full export can begin the chain.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_from: Option<u64>,
    /// The window that has been begun and is not COMPLETED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub open_window: Option<OpenWindow>,
    /// Whether no window begins.
    #[serde(default)]
    pub paused: bool,
    last_updated: String,
}

/// A window of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWindow {
    /// Its name.
    pub window: String,
    /// What it holds.
    #[serde(flatten)]
    pub span: Span,
}

impl Row for ChainRow {
    const WHAT: &'static str = "the row of a chain of incremental exports";

    fn is_completed(&self) -> bool {
        false
    }

    fn written_at(&mut self, now: Timestamp) {
        self.last_updated = now.iso();
    }
}

/// What the chain needs to know to go on.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The table's id.
    pub table_id: String,
    /// The first second that can be exported.
    pub earliest: u64,
    /// The last second that is exported now.
    pub latest: u64,
    /// Length of a window in seconds.
    pub window: u64,
    /// What windows show of an item.
    pub view: ExportView,
}

impl Reach {
    /// Whether recovery still reaches back to what an export of this span holds.
    pub fn holds(&self, span: Span) -> bool {
        self.earliest <= span.window_start().unwrap_or(span.snapshot_time())
    }
}

/// What comes next in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing until it is resumed.
    Paused,
    /// Nothing yet.
    NotDue(String),
    /// This window, perhaps begun before.
    Window(OpenWindow),
}

impl ChainRow {
    fn of(table_id: &str) -> Self {
        Self {
            kind: "export-chain".to_owned(),
            table_id: table_id.to_owned(),
            ..Self::default()
        }
    }

    /// Whether beginning again at `end` would take something back.
    fn is_past(&self, end: u64) -> bool {
        let full = self.open_window.as_ref().map(|open| open.span);
        self.next_from.is_some_and(|from| end <= from)
            || full
                .is_some_and(|span| matches!(span, Span::Full { export_time } if end < export_time))
    }

    /// The next window, which is open from then on. Where the chain has no beginning, or recovery does not reach back to
    /// where it ended, that is a full export.
    pub fn next(&mut self, reach: &Reach) -> Next {
        if self.table_id != reach.table_id {
            *self = Self {
                paused: self.paused,
                ..Self::of(&reach.table_id)
            };
        }
        // What has begun comes to its end, also while nothing new begins.
        if let Some(open) = &self.open_window {
            return Next::Window(open.clone());
        }
        if self.paused {
            return Next::Paused;
        }
        let open = match self.next_from.filter(|from| reach.earliest <= *from) {
            Some(from) => {
                let to = from + reach.window;
                if reach.latest < to {
                    return Next::NotDue(format!(
                        "the window from {} on is not over: it ends {} seconds after the newest time that can be exported",
                        compact_time(from),
                        to - reach.latest
                    ));
                }
                OpenWindow {
                    window: incremental_window(from, to),
                    span: Span::Incremental {
                        from_time: from,
                        to_time: to,
                        export_view: reach.view,
                    },
                }
            }
            None if reach.latest < reach.earliest => {
                return Next::NotDue(format!(
                    "point-in-time recovery reaches back to {} only, and the newest time that is exported is {}",
                    compact_time(reach.earliest),
                    compact_time(reach.latest)
                ));
            }
            None => OpenWindow {
                window: chain_window(reach.latest),
                span: Span::Full {
                    export_time: reach.latest,
                },
            },
        };
        Next::Window(self.open_window.insert(open).clone())
    }
}

/// The name of a full export's window in the chain. It is not what a full export is called that somebody asks for by time:
/// that one is of an earlier time than its name says, by the lag, and its settings are its own.
fn chain_window(time: u64) -> String {
    format!("full-{}-chain", compact_time(time))
}

/// The next window of the chain; it is recorded before anything is begun.
pub async fn next_window<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    table: &str,
    reach: &Reach,
) -> Result<Next, StorageError> {
    change::<ChainRow, _, _, _>(ledger, clock, &chain_job(table), CHAIN_PART, |row, _| {
        row.get_or_insert_with(|| ChainRow::of(&reach.table_id))
            .next(reach)
    })
    .await
}

/// The chain's open window is whole: the next one begins at its end. Of any other window it says nothing.
pub async fn advance<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    table: &str,
    window: &str,
    end: u64,
) -> Result<bool, StorageError> {
    change::<ChainRow, _, _, _>(ledger, clock, &chain_job(table), CHAIN_PART, |row, _| {
        let open = row.as_mut().filter(|row| {
            row.open_window
                .as_ref()
                .is_some_and(|open| open.window == window)
        });
        let Some(row) = open else { return false };
        row.open_window = None;
        row.next_from = Some(end);
        true
    })
    .await
}

/// The chain goes on from `end`, unless it has come further than that, or a full export of a later time is its open window: so
/// doing it again, or late, takes nothing back. `table_id` is the table that has the name now.
pub async fn restart<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    table: &str,
    table_id: &str,
    end: u64,
) -> Result<(), StorageError> {
    change::<ChainRow, _, _, _>(ledger, clock, &chain_job(table), CHAIN_PART, |row, _| {
        let same = row.as_ref().filter(|row| row.table_id == table_id);
        if same.is_some_and(|row| row.is_past(end)) {
            return;
        }
        let paused = row.as_ref().is_some_and(|row| row.paused);
        *row = Some(ChainRow {
            next_from: Some(end),
            paused,
            ..ChainRow::of(table_id)
        });
    })
    .await
}

/// The open window cannot be exported any more: a full export is next.
pub async fn give_up<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    table: &str,
    window: &str,
) -> Result<(), StorageError> {
    change::<ChainRow, _, _, _>(ledger, clock, &chain_job(table), CHAIN_PART, |row, _| {
        let open = row.as_mut().filter(|row| {
            row.open_window
                .as_ref()
                .is_some_and(|open| open.window == window)
        });
        if let Some(row) = open {
            row.open_window = None;
            row.next_from = None;
        }
    })
    .await
}

/// Whether the chain has a window that could begin now.
pub async fn is_due<L: Ledger>(
    ledger: &L,
    table: &str,
    reach: &Reach,
) -> Result<bool, StorageError> {
    let row = export_jobs::read::<ChainRow, _>(ledger, &chain_job(table), CHAIN_PART).await?;
    Ok(row.is_some_and(|stored| matches!(stored.row.clone().next(reach), Next::Window(_))))
}

/// Pauses or resumes the chain of the function's table.
pub async fn set_paused<O, T, E, L: Ledger, W, C: Clock>(
    paused: bool,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<bool, Failure> {
    let job = chain_job(&dependencies.config.table);
    let Dependencies { ledger, clock, .. } = dependencies;
    change::<ChainRow, _, _, _>(ledger, clock, &job, CHAIN_PART, |row, _| {
        // The table's id is filled in when a window begins.
        row.get_or_insert_with(|| ChainRow::of("")).paused = paused;
        paused
    })
    .await
    .map_err(|error| Failure::from(&error))
}

#[cfg(test)]
mod tests {
    use storage::TestClock;
    use storage::memory::MemoryLedger;

    use super::*;

    fn reach(earliest: u64, latest: u64) -> Reach {
        Reach {
            table_id: "table".to_owned(),
            earliest,
            latest,
            window: 900,
            view: ExportView::NewImage,
        }
    }

    fn span(next: &Next) -> Option<Span> {
        match next {
            Next::Window(open) => Some(open.span),
            _ => None,
        }
    }

    #[test]
    fn a_chain_begins_with_a_full_export_and_goes_on_where_it_ended() {
        let mut chain = ChainRow::of("table");
        let first = chain.next(&reach(0, 10_000));
        assert_eq!(
            span(&first),
            Some(Span::Full {
                export_time: 10_000
            })
        );
        // The same window until it is whole, however late it has become.
        assert_eq!(chain.next(&reach(0, 20_000)), first);
        chain.open_window = None;
        chain.next_from = Some(10_000);
        assert!(matches!(chain.next(&reach(0, 10_899)), Next::NotDue(_)));
        let second = chain.next(&reach(0, 20_000));
        let Some(Span::Incremental {
            from_time, to_time, ..
        }) = span(&second)
        else {
            panic!("{second:?}");
        };
        assert_eq!((from_time, to_time), (10_000, 10_900));
    }

    #[test]
    fn a_gap_in_recovery_or_another_table_begins_with_a_full_export() {
        let mut chain = ChainRow {
            next_from: Some(10_000),
            ..ChainRow::of("table")
        };
        let after_a_gap = chain.next(&reach(10_001, 20_000));
        assert_eq!(
            span(&after_a_gap),
            Some(Span::Full {
                export_time: 20_000
            })
        );
        let mut other = ChainRow {
            next_from: Some(10_000),
            ..ChainRow::of("an earlier table")
        };
        assert_eq!(
            span(&other.next(&reach(0, 20_000))),
            Some(Span::Full {
                export_time: 20_000
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_that_comes_late_leaves_a_later_full_export_open() {
        let (ledger, clock) = (MemoryLedger::new(), TestClock::default());
        let again = async |end| {
            restart(&ledger, &clock, "offers", "table", end)
                .await
                .unwrap()
        };
        let next = async || {
            let next = next_window(&ledger, &clock, "offers", &reach(0, 20_000))
                .await
                .unwrap();
            let Next::Window(open) = next else {
                panic!("{next:?}");
            };
            open
        };
        again(10_000).await;
        // Its first window cannot be exported any more, so that the chain is to begin with a full export.
        let lost = next().await.window;
        give_up(&ledger, &clock, "offers", &lost).await.unwrap();
        let full = next().await;
        assert_eq!(
            full.span,
            Span::Full {
                export_time: 20_000
            }
        );
        again(10_000).await;
        assert_eq!(next().await, full);
        // A later one is as good.
        again(20_001).await;
        let rows = ledger.rows();
        let row: ChainRow = serde_json::from_value(rows[0].attributes.clone().into()).unwrap();
        assert_eq!((row.next_from, row.open_window), (Some(20_001), None));
    }

    #[test]
    fn a_paused_chain_begins_nothing() {
        let mut chain = ChainRow {
            paused: true,
            ..ChainRow::of("table")
        };
        assert_eq!(chain.next(&reach(0, 10_000)), Next::Paused);
        assert_eq!(chain.open_window, None);
    }
}
