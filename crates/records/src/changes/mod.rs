//! The change log: its lines, the names of its objects, and the rule that makes a table's state out of it.

mod codec;
mod fault;
mod line;
mod merge;
mod place;
mod raw;

pub use codec::Codec;
pub use fault::ChangeFault;
pub use line::{
    ChangeKind, ChangeLine, Completion, LogLine, Origin, SequenceNumber, SnapshotSource,
    StreamRecord, canonical_key_of_any, event_id_of, seconds_of, sequence_text_of,
};
pub use merge::{KeyState, Merge, MergeRule, Rank, SETTLED_SECONDS, Step};
pub use place::{
    COMPLETIONS, MAX_EVENT_ID_BYTES, SECONDS_PER_HOUR, completion_object, hour_folder, log_folder,
    set_aside_folder, set_aside_object, stream_object,
};
