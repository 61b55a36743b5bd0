//! The state into a table that lives: one item at a time, on the condition that the table's is older.

use bulk_writer::WriteFailure;
use futures_util::{StreamExt, stream};
use records::changes::{ChangeKind, KeyState};
use records::{Item, Value, item_from_dynamodb_json};
use storage::{Clock, Condition, ErrorKind, ItemStore, ItemWrite, WriteOutcome};

use super::back_off::BackOff;
use super::gather::Gathered;
use super::{Fates, Progress, ReplayError, Target, refused_line};
use crate::output::LinesFile;
use crate::pacer::Pacer;

/// Writes under way at a time.
const IN_FLIGHT: usize = 32;

/// How versions are told apart, and how fast items are written.
pub(super) struct ByVersion<'a> {
    pub(super) attribute: &'a str,
    pub(super) per_second: u32,
}

/// What became of one key.
enum Fate {
    Written,
    Deleted,
    AlreadyThere,
    Newer,
    WithoutVersion,
    /// A line of the file of refused items.
    Refused(Vec<u8>),
}

/// Puts and deletes what is older in the table. Whatever order the writes land in, and however often, a key ends the same.
pub(super) async fn update<T: ItemStore, C: Clock>(
    gathered: &Gathered,
    into: &Target<'_, T, C>,
    rule: &ByVersion<'_>,
    seed: u64,
    refused: &mut LinesFile,
    on_progress: &mut impl FnMut(&Progress),
) -> Result<Fates, ReplayError> {
    let mut pacer = Pacer::new(into.clock, rule.per_second);
    let back_off = BackOff::new(into.clock, seed);
    let mut fates = Fates::default();
    let total = gathered.census.keys;
    for part in 0..gathered.parts() {
        let states = gathered.scattered(part)?;
        let planned = stream::unfold((states, &mut pacer), |(mut states, pacer)| async {
            let planned = plan(states.next()?, rule.attribute);
            if planned.is_some() {
                pacer.turn().await;
            }
            Some((planned, (states, pacer)))
        });
        let mut settled = std::pin::pin!(
            planned
                .map(|planned| write(planned, into, &back_off))
                .buffer_unordered(IN_FLIGHT)
        );
        while let Some(fate) = settled.next().await {
            match fate.map_err(|source| failed(into, &fates, total, source))? {
                Fate::Written => fates.written += 1,
                Fate::Deleted => fates.deleted += 1,
                Fate::AlreadyThere => fates.already_there += 1,
                Fate::Newer => fates.newer += 1,
                Fate::WithoutVersion => fates.without_version += 1,
                Fate::Refused(line) => {
                    refused.append(&line)?;
                    fates.refused += 1;
                }
            }
            on_progress(&Progress::Writing {
                done: fates.total(),
                total,
                throttled: back_off.waits(),
            });
        }
    }
    Ok(fates)
}

fn failed<T, C>(
    into: &Target<'_, T, C>,
    fates: &Fates,
    total: u64,
    source: WriteFailure,
) -> ReplayError {
    ReplayError::NotUpdated {
        table: into.shape.name.clone(),
        done: fates.total(),
        total,
        source: Box::new(source),
    }
}

/// The write that a key needs, and its condition; nothing if its version is not known.
fn plan(state: KeyState, attribute: &str) -> Option<(ItemWrite, Condition)> {
    let removed = state.kind == ChangeKind::Remove;
    let image = match removed {
        true => state.old_image,
        false => state.new_image,
    };
    let item = item_from_dynamodb_json(image?.as_bytes())
        .expect("every image was checked when the log was read");
    let than = version_of(&item, attribute)?;
    let attribute = attribute.to_owned();
    Some(match removed {
        true => (
            ItemWrite::Delete(state.keys),
            Condition::NotNewer { attribute, than },
        ),
        false => (
            ItemWrite::Put(item),
            Condition::AbsentOrOlder { attribute, than },
        ),
    })
}

/// The version of an item, if it is of a type that has an order.
fn version_of(item: &Item, attribute: &str) -> Option<Value> {
    let version = item.get(attribute)?;
    matches!(version, Value::S(_) | Value::N(_) | Value::B(_)).then(|| version.clone())
}

async fn write<T: ItemStore, C: Clock>(
    planned: Option<(ItemWrite, Condition)>,
    into: &Target<'_, T, C>,
    back_off: &BackOff<'_, C>,
) -> Result<Fate, WriteFailure> {
    let Some((write, condition)) = planned else {
        return Ok(Fate::WithoutVersion);
    };
    // One that landed while its answer was lost finds what it has written, and counts as there already.
    let attempt = async || into.tables.write_if(into.shape, &write, &condition).await;
    let outcome = match back_off.run(attempt).await {
        Ok(outcome) => outcome,
        Err(WriteFailure::Store(error)) if error.kind() == ErrorKind::Refused => {
            return Ok(Fate::Refused(refused_write(&write, error.message())));
        }
        Err(error) => return Err(error),
    };
    Ok(match (write, outcome) {
        (ItemWrite::Delete(_), WriteOutcome::Done) => Fate::Deleted,
        (_, WriteOutcome::Done | WriteOutcome::Updated(_)) => Fate::Written,
        (ItemWrite::Delete(_), WriteOutcome::Refused(None)) => Fate::AlreadyThere,
        (ItemWrite::Put(ours), WriteOutcome::Refused(Some(held))) if ours == held => {
            Fate::AlreadyThere
        }
        (_, WriteOutcome::Refused(_)) => Fate::Newer,
    })
}

fn refused_write(write: &ItemWrite, reason: &str) -> Vec<u8> {
    let (ItemWrite::Put(item) | ItemWrite::Delete(item) | ItemWrite::Update { key: item, .. }) =
        write;
    let mut json = Vec::new();
    for (name, value) in item {
        json.push(if json.is_empty() { b'{' } else { b',' });
        json.extend_from_slice(
            serde_json::Value::from(name.as_str())
                .to_string()
                .as_bytes(),
        );
        json.push(b':');
        value.write_dynamodb_json(&mut json);
    }
    json.push(b'}');
    refused_line(reason, &String::from_utf8_lossy(&json))
}
