//! The rules: when votes are an outcome.
//!
//! A rule is one question: do those seats suffice that agree? It is monotone: more who agree never suffice less. From that follow both
//! ends. An answer wins once those who gave it suffice; a rejection wins once those who have not rejected would not suffice any more. So
//! what the outcome is hangs on the order of the stream alone, and only a vote for an answer can make it win.

use std::collections::BTreeSet;

use docket_events::consultation::{DecisionRule, Rule};
use uuid::Uuid;

/// The name of a rule.
#[must_use]
pub const fn name(rule: &DecisionRule) -> Rule {
    match rule {
        DecisionRule::AnyOne => Rule::AnyOne,
        DecisionRule::All => Rule::All,
        DecisionRule::MOfN { .. } => Rule::MOfN,
        DecisionRule::Majority => Rule::Majority,
        DecisionRule::Veto { .. } => Rule::Veto,
        DecisionRule::TwoGroups { .. } => Rule::TwoGroups,
        DecisionRule::Weights { .. } => Rule::Weights,
    }
}

/// Whether the seats that agree suffice, of all `seats`.
#[must_use]
pub fn suffices(rule: &DecisionRule, seats: &BTreeSet<Uuid>, agreeing: &BTreeSet<Uuid>) -> bool {
    let count = agreeing.len();
    let at_least = |m: u32| count >= 1 && u32::try_from(count).unwrap_or(u32::MAX) >= m;
    match rule {
        DecisionRule::AnyOne => count >= 1,
        DecisionRule::All => count >= 1 && count == seats.len(),
        DecisionRule::MOfN { m } | DecisionRule::Veto { m, .. } => at_least(*m),
        DecisionRule::Majority => count * 2 > seats.len(),
        DecisionRule::TwoGroups { first, second, m } => two_groups(first, second, *m, agreeing),
        DecisionRule::Weights { weights, threshold } => {
            let weight = |seat| u64::from(weights.get(seat).copied().unwrap_or(0));
            count >= 1 && agreeing.iter().map(weight).sum::<u64>() >= u64::from(*threshold)
        }
    }
}

/// Enough of each group, and enough for both together: nobody speaks for two (Hall's condition for two sets).
fn two_groups(first: &[Uuid], second: &[Uuid], m: u32, agreeing: &BTreeSet<Uuid>) -> bool {
    let m = u64::from(m.max(1));
    let of = |group: &[Uuid]| group.iter().copied().filter(|seat| agreeing.contains(seat)).collect::<BTreeSet<Uuid>>();
    let (first, second) = (of(first), of(second));
    let together = first.union(&second).count() as u64;
    first.len() as u64 >= m && second.len() as u64 >= m && together >= 2 * m
}

/// Whether the rejection by one of `rejecting` ends it at once.
#[must_use]
pub fn is_vetoed(rule: &DecisionRule, rejecting: &BTreeSet<Uuid>) -> bool {
    let DecisionRule::Veto { holders, .. } = rule else { return false };
    rejecting.iter().any(|seat| holders.is_empty() || holders.contains(seat))
}

/// Whether a rejection wins: those who have not rejected would not suffice, or somebody has used a veto.
#[must_use]
pub fn is_rejected(rule: &DecisionRule, seats: &BTreeSet<Uuid>, rejecting: &BTreeSet<Uuid>) -> bool {
    let left: BTreeSet<Uuid> = seats.difference(rejecting).copied().collect();
    !rejecting.is_empty() && (is_vetoed(rule, rejecting) || !suffices(rule, seats, &left))
}
