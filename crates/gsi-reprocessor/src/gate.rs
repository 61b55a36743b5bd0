//! How many items may be under way: fewer when they are large in memory.

use std::cell::Cell;

use tokio::sync::Notify;

/// What items under way may take in memory together, so that a function of 128 MB has room for everything else.
const BUDGET_BYTES: usize = 40 * 1024 * 1024;
/// Items that are under way before anything is known of their size.
const FIRST: usize = 2;

/// Lets as many in as memory allows. It begins with a few, and lets one more in with each that is finished, up to what the
/// largest item so far leaves room for: an item of 400 KB on the wire may be 50 MB of small maps in memory.
pub struct Gate {
    most: usize,
    inside: Cell<usize>,
    grown: Cell<usize>,
    largest: Cell<usize>,
    left: Notify,
}

/// The right to be under way; given back when it is dropped.
pub struct Pass<'a>(&'a Gate);

impl Gate {
    /// A gate for at most `most` items.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            inside: Cell::new(0),
            grown: Cell::new(FIRST),
            largest: Cell::new(1),
            left: Notify::new(),
        }
    }

    /// How many may be under way now.
    pub fn allowed(&self) -> usize {
        let fitting = (BUDGET_BYTES / self.largest.get()).max(1);
        self.grown.get().min(self.most).min(fitting)
    }

    /// Notes how much memory an item takes.
    pub fn saw(&self, bytes: usize) {
        self.largest.set(self.largest.get().max(bytes));
    }

    /// Notes that one is finished.
    pub fn finished(&self) {
        self.grown.set(self.most.min(self.grown.get() + 1));
    }

    /// Waits until one more may be under way.
    pub async fn enter(&self) -> Pass<'_> {
        while self.inside.get() >= self.allowed() {
            self.left.notified().await;
        }
        self.inside.set(self.inside.get() + 1);
        Pass(self)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
        self.0.finished();
        self.0.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use records::{Item, Value, heap_bytes};

    use super::*;

    #[test]
    fn it_opens_step_by_step_and_closes_for_large_items() {
        let gate = Gate::new(4);
        let enter = || gate.enter().now_or_never();
        let (first, second) = (enter(), enter());
        assert!(first.is_some() && second.is_some());
        assert!(enter().is_none(), "nothing is known of the items yet");
        drop(first);
        let more = [enter(), enter()];
        assert!(more.iter().all(Option::is_some));
        drop(second);
        drop(more);
        let all: Vec<_> = (0..5).map(|_| enter()).collect();
        assert_eq!(all.iter().filter(|pass| pass.is_some()).count(), 4);
        gate.saw(BUDGET_BYTES);
        drop(all);
        let alone = enter();
        assert!(alone.is_some() && enter().is_none());
    }

    #[tokio::test]
    async fn whoever_waits_comes_in_when_another_leaves() {
        let gate = Gate::new(1);
        let pass = gate.enter().await;
        let waiting = async {
            gate.enter().await;
        };
        let leaving = async {
            tokio::task::yield_now().await;
            drop(pass);
        };
        futures_util::future::join(waiting, leaving).await;
    }

    #[test]
    fn small_things_are_large_in_memory() {
        let numbers = vec![Value::Null; 130_000];
        let item = Item::from([("n".to_owned(), Value::L(numbers))]);
        assert!(heap_bytes(&item) > 14 * 1024 * 1024);
        let map = Value::M(Item::from([("a".to_owned(), Value::Null)]));
        let item = Item::from([("m".to_owned(), Value::L(vec![map; 50_000]))]);
        assert!(heap_bytes(&item) > 35 * 1024 * 1024);
        let text = Item::from([("t".to_owned(), Value::S("x".repeat(400_000)))]);
        assert!(heap_bytes(&text) < 2 * 1024 * 1024);
    }
}
