//! Faults on purpose, for the fault campaign alone.
//!
//! Built with the feature `faults`, a process reads two variables when it starts: `DOCKET_FAULT_BUG` names one seeded bug that it
//! then has, so that the campaign can show that its checker catches it; `DOCKET_FAULT_CRASH` (`step` or `step:n`) names a step at
//! whose n-th passing the process kills itself with SIGKILL. Without the feature nothing of this exists.

/// A bug that a `faults` build can be told to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The projector does not compare the checkpoint before it writes.
    DropCompareAndSet,
    /// The reader skips an event now and then and the projector does not mind the gap.
    ReadPastGap,
    /// The append does not keep the idempotency row.
    ForgetIdempotency,
    /// The append does not keep the deadline.
    LoseDeadline,
    /// The projector applies a batch twice.
    ApplyTwice,
    /// A lane answers before its append has committed.
    AcknowledgeBeforeCommit,
}

impl Bug {
    /// Every seeded bug with the name that `DOCKET_FAULT_BUG` takes.
    pub const ALL: [(&'static str, Self); 6] = [
        ("drop-compare-and-set", Self::DropCompareAndSet),
        ("read-past-gap", Self::ReadPastGap),
        ("forget-idempotency", Self::ForgetIdempotency),
        ("lose-deadline", Self::LoseDeadline),
        ("apply-twice", Self::ApplyTwice),
        ("acknowledge-before-commit", Self::AcknowledgeBeforeCommit),
    ];
}

/// The steps at which a `faults` build can be told to die.
pub const STEPS: [&str; 8] = [
    "append.before",
    "append.after_commit",
    "command.before_answer",
    "scheduler.after_claim",
    "scheduler.after_expire",
    "projector.before_write",
    "projector.before_commit",
    "projector.after_commit",
];

#[cfg(feature = "faults")]
mod chosen {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    use super::{Bug, STEPS};

    static BUG: LazyLock<Option<Bug>> = LazyLock::new(|| {
        let name = std::env::var("DOCKET_FAULT_BUG").ok()?;
        Bug::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, bug)| bug)
    });

    struct Crash {
        step: String,
        left: AtomicU64,
    }

    static CRASH: LazyLock<Option<Crash>> = LazyLock::new(|| {
        let text = std::env::var("DOCKET_FAULT_CRASH").ok()?;
        let (step, count) = text.split_once(':').unwrap_or((&text, "1"));
        assert!(STEPS.contains(&step), "DOCKET_FAULT_CRASH names no step: {step}");
        Some(Crash { step: step.to_owned(), left: AtomicU64::new(count.parse().unwrap_or(1)) })
    });

    /// Whether this process was told to have `bug`.
    #[must_use]
    pub fn has(bug: Bug) -> bool {
        *BUG == Some(bug)
    }

    /// Dies here when this is the passing of the step that was asked for.
    pub fn step(name: &str) {
        if let Some(crash) = CRASH.as_ref()
            && crash.step == name
            && crash.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            // SIGKILL from outside: nothing of this process runs any further, no destructor, no flush.
            let pid = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
            std::process::abort();
        }
    }
}

#[cfg(not(feature = "faults"))]
mod chosen {
    use super::Bug;

    /// Whether this process was told to have `bug`: never, without the feature `faults`.
    #[must_use]
    #[inline(always)]
    pub const fn has(_: Bug) -> bool {
        false
    }

    /// Does nothing without the feature `faults`.
    #[inline(always)]
    pub const fn step(_: &str) {}
}

pub use chosen::{has, step};
