//! A clock that goes on when somebody looks at it, and more when a part is uploaded.

use std::cell::Cell;

use storage::failing::FaultPlan;
use storage::{Clock, Timestamp};

const LOOK_MILLIS: u64 = 100;
const PART_MILLIS: u64 = 3_000;

/// Reading what was done before is quick, and making objects is not: as it is with real files. Begins anew for each invocation.
pub struct SteppingClock {
    plan: FaultPlan,
    parts_before: usize,
    looks: Cell<u64>,
}

impl SteppingClock {
    /// A clock of an invocation whose stores fail by the plan.
    pub fn of(plan: &FaultPlan) -> Self {
        Self {
            plan: plan.clone(),
            parts_before: plan.count("UploadPart"),
            looks: Cell::new(0),
        }
    }
}

impl Clock for SteppingClock {
    fn now(&self) -> Timestamp {
        self.looks.set(self.looks.get() + 1);
        let parts = (self.plan.count("UploadPart") - self.parts_before) as u64;
        Timestamp(1_769_860_800_000 + self.looks.get() * LOOK_MILLIS + parts * PART_MILLIS)
    }
}
