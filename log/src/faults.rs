//! Faults on purpose, for the fault campaign alone.
//!
//! Built with the feature `faults`, a process reads four variables when it starts: `DOCKET_FAULT_BUG` names one seeded bug that it
//! then has, so that the campaign can show that its checker catches it; `DOCKET_FAULT_CRASH` (`step` or `step:n`) names a step at
//! whose n-th passing the process kills itself with SIGKILL; `DOCKET_FAULT_PAUSE`, of the same form, one at which it stops itself
//! with SIGSTOP, until somebody sends SIGCONT. `DOCKET_FAULT_FORGET` names a type of event that the process then does not know, as
//! one of an older release would not. Without the feature nothing of this exists.

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
    /// The relay moves the mark when it has sent, before Kafka has acknowledged.
    MarkBeforeAcknowledgement,
    /// The relay takes the journal's tail for published when it starts.
    ResumeAtTail,
    /// The relay does not compare the topic's end with the journal.
    SkipIdComparison,
    /// A refresh token that was used is as good as a new one.
    TakeUsedTokens,
    /// A webhook is noted as delivered before it is sent.
    SettleBeforeSend,
}

impl Bug {
    /// Every seeded bug with the name that `DOCKET_FAULT_BUG` takes.
    pub const ALL: [(&'static str, Self); 11] = [
        ("drop-compare-and-set", Self::DropCompareAndSet),
        ("read-past-gap", Self::ReadPastGap),
        ("forget-idempotency", Self::ForgetIdempotency),
        ("lose-deadline", Self::LoseDeadline),
        ("apply-twice", Self::ApplyTwice),
        ("acknowledge-before-commit", Self::AcknowledgeBeforeCommit),
        ("mark-before-acknowledgement", Self::MarkBeforeAcknowledgement),
        ("resume-at-tail", Self::ResumeAtTail),
        ("skip-id-comparison", Self::SkipIdComparison),
        ("take-used-tokens", Self::TakeUsedTokens),
        ("settle-before-send", Self::SettleBeforeSend),
    ];
}

/// The steps at which a `faults` build can be told to die, or to stop.
pub const STEPS: [&str; 18] = [
    "append.before",
    "append.after_commit",
    "command.before_answer",
    "scheduler.after_claim",
    "scheduler.after_expire",
    "projector.before_checkpoint",
    "projector.before_write",
    "projector.before_commit",
    "projector.after_commit",
    "relay.before_produce",
    "relay.after_produce",
    "relay.before_mark",
    "relay.after_mark",
    "webhook.after_noting",
    "webhook.after_claim",
    "webhook.before_send",
    "webhook.after_send",
    "webhook.after_settle",
];

/// The same of commands that operators give: `docket log switch`, `docket rebuild`, `docket recover`.
pub const OPERATOR_STEPS: [&str; 6] = [
    "switch.before_mode",
    "switch.after_mode",
    "rebuild.before_switch",
    "rebuild.before_commit",
    "rebuild.after_commit",
    "recover.before_commit",
];

/// The same of what commands do besides the journal: mails, passwords that are set anew, sessions, joining, and superseding.
pub const SINGLE_STEPS: [&str; 11] = [
    "reactor.before_delivery",
    "reactor.after_delivery",
    "reset.before_write",
    "login.before_rows",
    "refresh.before_answer",
    "ask.before_supersession",
    "register.before_event",
    "verify.before_organisation",
    "verify.before_write",
    "join.before_acceptance",
    "join.before_write",
];

#[cfg(feature = "faults")]
mod chosen {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    use super::{Bug, OPERATOR_STEPS, SINGLE_STEPS, STEPS};

    static BUG: LazyLock<Option<Bug>> = LazyLock::new(|| {
        let name = std::env::var("DOCKET_FAULT_BUG").ok()?;
        Bug::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, bug)| bug)
    });

    /// A step, and how often it is still to be passed until something happens there.
    struct Trigger {
        step: String,
        left: AtomicU64,
    }

    impl Trigger {
        fn of(variable: &str) -> Option<Self> {
            let text = std::env::var(variable).ok()?;
            let (step, count) = text.split_once(':').unwrap_or((&text, "1"));
            let known = [&STEPS[..], &OPERATOR_STEPS, &SINGLE_STEPS].concat();
            assert!(known.contains(&step), "{variable} names no step: {step}");
            Some(Self { step: step.to_owned(), left: AtomicU64::new(count.parse().unwrap_or(1)) })
        }

        fn is_due(&self, name: &str) -> bool {
            self.step == name && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        }
    }

    static FORGOTTEN: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("DOCKET_FAULT_FORGET").ok());
    static CRASH: LazyLock<Option<Trigger>> = LazyLock::new(|| Trigger::of("DOCKET_FAULT_CRASH"));
    static PAUSE: LazyLock<Option<Trigger>> = LazyLock::new(|| Trigger::of("DOCKET_FAULT_PAUSE"));

    /// Sends this process a signal, by the shell: its `kill` is built in, and needs no package.
    fn signal(name: &str) {
        let line = format!("kill -{name} {}", std::process::id());
        let _ = std::process::Command::new("/bin/sh").args(["-c", &line]).status();
    }

    /// Whether this process was told to have `bug`.
    #[must_use]
    pub fn has(bug: Bug) -> bool {
        *BUG == Some(bug)
    }

    /// Whether this process was told not to know this type of event.
    #[must_use]
    pub fn forgets(event_type: &str) -> bool {
        FORGOTTEN.as_deref() == Some(event_type)
    }

    /// Stops or dies here when this is the passing of the step that was asked for.
    pub fn step(name: &str) {
        if PAUSE.as_ref().is_some_and(|pause| pause.is_due(name)) {
            signal("STOP");
        }
        if CRASH.as_ref().is_some_and(|crash| crash.is_due(name)) {
            // SIGKILL from outside: nothing of this process runs any further, no destructor, no flush.
            signal("KILL");
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

    /// Whether this process was told not to know a type of event: never, without the feature `faults`.
    #[must_use]
    #[inline(always)]
    pub const fn forgets(_: &str) -> bool {
        false
    }

    /// Does nothing without the feature `faults`.
    #[inline(always)]
    pub const fn step(_: &str) {}
}

pub use chosen::{forgets, has, step};
