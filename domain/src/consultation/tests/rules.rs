//! Each rule: which vote completes it, and which rules can never be met.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::consultation::rule;

const ALAN: u128 = 4;
const BARBARA: u128 = 5;
const YES: Decision = Decision::Approve;
const NO: Decision = Decision::Reject;

fn ids(people: &[u128]) -> Vec<Uuid> {
    people.iter().copied().map(id).collect()
}

/// Ada asks those who have a seat, by a rule.
fn seated(rule: DecisionRule, seats: &[u128]) -> Request {
    Request { terms: Terms { rule, seats: ids(seats), ..Terms::default() }, ..request() }
}

/// The votes that leave it pending, and the one that ends it.
#[track_caller]
fn ends(rule: DecisionRule, seats: &[u128], votes: &[(u128, Decision)], with: Decision, agreed: &[u128]) {
    let name = rule::name(&rule);
    let ((by, last), before) = votes.split_last().unwrap();
    let mut story = Story::nothing().and(0, seated(rule, seats));
    for (by, decision) in before {
        story = story.and(1, respond(*by, *decision));
        assert_eq!(story.0.state(), Some(State::Pending), "after {by}'s vote");
    }
    let (vote, outcome) = (cast(*by, Answer::of(*last)), responded(*by, Answer::of(with), name, 2, agreed));
    story.when(2, respond(*by, *last)).then(&[vote, outcome]);
}

#[test]
fn all_must_agree_and_one_rejection_is_the_end() {
    let all = || DecisionRule::All;
    ends(all(), &[2, 3, 4], &[(2, YES), (3, YES), (4, YES)], YES, &[2, 3, 4]);
    ends(all(), &[2, 3, 4], &[(2, YES), (3, NO)], NO, &[3]);
}

#[test]
fn m_of_n_approve_or_so_many_reject_that_m_cannot_be_reached() {
    let two = || DecisionRule::MOfN { m: 2 };
    ends(two(), &[2, 3, 4], &[(2, YES), (3, NO), (4, YES)], YES, &[2, 4]);
    ends(two(), &[2, 3, 4], &[(2, NO), (3, YES), (4, NO)], NO, &[2, 4]);
    ends(DecisionRule::MOfN { m: 1 }, &[2, 3], &[(2, NO), (3, NO)], NO, &[2, 3]);
}

#[test]
fn a_majority_is_more_than_half_and_a_tie_rejects() {
    let most = || DecisionRule::Majority;
    ends(most(), &[2, 3, 4], &[(2, YES), (3, NO), (4, YES)], YES, &[2, 4]);
    ends(most(), &[2, 3, 4, 5], &[(2, YES), (3, YES), (4, YES)], YES, &[2, 3, 4]);
    ends(most(), &[2, 3, 4, 5], &[(2, YES), (3, YES), (4, NO), (5, NO)], NO, &[4, 5]);
}

#[test]
fn a_veto_ends_it_whoever_approved() {
    let veto = |holders: &[u128]| DecisionRule::Veto { m: 2, holders: ids(holders) };
    ends(veto(&[4]), &[2, 3, 4], &[(2, YES), (4, NO)], NO, &[4]);
    ends(veto(&[4]), &[2, 3, 4], &[(2, NO), (3, YES), (4, YES)], YES, &[3, 4]);
    ends(veto(&[]), &[2, 3, 4], &[(2, YES), (3, NO)], NO, &[3]);
}

#[test]
fn two_groups_agree_by_different_people() {
    let groups =
        |m, first: &[u128], second: &[u128]| DecisionRule::TwoGroups { first: ids(first), second: ids(second), m };
    ends(groups(1, &[2, 3], &[4, 5]), &[2, 3, 4, 5], &[(2, YES), (3, YES), (5, YES)], YES, &[2, 3, 5]);
    ends(groups(1, &[2, 3], &[4, 5]), &[2, 3, 4, 5], &[(2, NO), (4, YES), (3, NO)], NO, &[2, 3]);
    // Whoever is in both speaks for one of them.
    ends(groups(1, &[2, 3], &[3, 4]), &[2, 3, 4], &[(3, YES), (2, YES)], YES, &[2, 3]);
}

#[test]
fn weights_are_added_up() {
    let weights = || DecisionRule::Weights { weights: [(id(2), 3), (id(3), 2), (id(4), 2)].into(), threshold: 4 };
    ends(weights(), &[2, 3, 4], &[(2, YES), (4, YES)], YES, &[2, 4]);
    ends(weights(), &[2, 3, 4], &[(3, NO), (2, YES), (4, NO)], NO, &[3, 4]);
}

#[test]
fn a_vote_may_be_changed_until_the_outcome() {
    let story = Story::nothing().and(0, seated(DecisionRule::All, &[2, 3])).and(1, respond(2, YES));
    story.when(2, respond(2, YES)).then(&[]);
    let story = Story::nothing().and(0, seated(DecisionRule::Majority, &[2, 3, 4])).and(1, respond(2, YES));
    let story = story.and(2, respond(2, NO)).and(3, respond(3, YES));
    assert_eq!(story.0.state(), Some(State::Pending));
    let done = story.and(4, respond(4, YES));
    assert_eq!(done.0.state(), Some(State::Responded));
    done.when(5, respond(3, YES)).then(&[]);
    done.when(5, respond(3, NO)).refused(ended(State::Responded));
    // Having voted otherwise than it ended, one is told so.
    done.when(5, respond(2, YES)).refused(ended(State::Responded));
}

#[test]
fn who_has_no_seat_does_not_vote_nor_who_asked_nor_who_made_the_key() {
    let story = Story::nothing().and(0, seated(DecisionRule::Majority, &[2, 3]));
    story.when(1, respond(4, YES)).refused(Refusal::NotAReviewer);
    story.when(1, respond(ADA, YES)).refused(Refusal::FourEyes);
    let by_key = Request { key_made_by: Some(id(GRACE)), ..request() };
    Story::nothing().and(0, by_key).when(1, respond(GRACE, YES)).refused(Refusal::FourEyes);
    // Their seats do not count: two of the three are all.
    ends(DecisionRule::All, &[ADA, 2, 3], &[(2, YES), (3, YES)], YES, &[2, 3]);
}

#[test]
fn four_eyes_can_be_switched_off() {
    let terms = Terms { asker_may_answer: true, rule: DecisionRule::All, seats: ids(&[ADA, 2]), ..Terms::default() };
    let story = Story::nothing().and(0, Request { terms, ..request() }).and(1, respond(ADA, YES));
    assert_eq!(story.and(2, respond(2, YES)).0.state(), Some(State::Responded));
}

#[test]
fn groups_and_roles_open_a_consultation_to_their_members() {
    use docket_events::identity::Role;
    let terms = Terms { groups: vec![id(70)], roles: vec![Role::Analyst], ..Terms::default() };
    let story = Story::nothing().and(0, Request { terms, ..request() });
    let by = |standing| Command::Respond(Respond { by: person(GRACE), standing, given: Given::decision(YES) });
    let of = |groups: &[u128], role| Standing { groups: ids(groups), role: Some(role), is_admin: false };
    story.when(1, by(of(&[71], Role::Reviewer))).refused(Refusal::NotAReviewer);
    for standing in [of(&[71, 70], Role::Reviewer), of(&[], Role::Analyst)] {
        assert_eq!(story.when(1, by(standing)).0.events.len(), 2);
    }
}

#[test]
fn a_rule_that_can_never_be_met_is_refused_with_the_reason() {
    let refused = |rule: DecisionRule, seats: &[u128]| match Story::nothing().when(0, seated(rule, seats)).0.refusal {
        Some(Refusal::Invalid { field, reason }) => (field, reason),
        other => panic!("{other:?}"),
    };
    let weights = |w| DecisionRule::Weights { weights: [(id(2), w)].into(), threshold: 4 };
    let groups =
        |first: &[u128], second: &[u128], m| DecisionRule::TwoGroups { first: ids(first), second: ids(second), m };
    for (rule, seats, field, reason) in [
        (DecisionRule::MOfN { m: 3 }, &[2, 3][..], "rule", "takes 3"),
        (DecisionRule::MOfN { m: 2 }, &[ADA, 3], "rule", "1 may answer"),
        (DecisionRule::MOfN { m: 0 }, &[2], "rule.m", "at least 1"),
        (DecisionRule::All, &[], "rule", "nobody is left"),
        (DecisionRule::All, &[ADA], "rule", "nobody is left"),
        (DecisionRule::Majority, &[], "rule", "nobody is left"),
        (DecisionRule::Veto { m: 1, holders: ids(&[9]) }, &[2], "rule.holders", "among the reviewers"),
        (weights(3), &[2], "rule", "weigh less than 4"),
        (groups(&[2], &[2], 1), &[2], "rule", "different people"),
        (groups(&[2, 3], &[4], 2), &[2, 3, 4], "rule", "2 of each group"),
        (groups(&[2], &[9], 1), &[2], "rule.groups", "among the reviewers"),
        (DecisionRule::AnyOne, &[2], "rule", "counts no seats"),
    ] {
        let (named, why) = refused(rule.clone(), seats);
        assert!(named == field && why.contains(reason), "{rule:?}: {named} {why}");
    }
}

/// What decides, said in other words than the code's: by counting.
fn counted(rule: &DecisionRule, seats: &[u128], votes: &BTreeMap<u128, Decision>) -> Option<Decision> {
    let of = |group: &[u128], what| group.iter().filter(|seat| votes.get(seat) == Some(&what)).count();
    let (yes, no, n) = (of(seats, YES), of(seats, NO), seats.len());
    let (needed, possible) = match rule {
        DecisionRule::AnyOne => return votes.values().next().copied(),
        DecisionRule::All => (yes == n, no == 0),
        DecisionRule::MOfN { m } => (yes >= *m as usize, n - no >= *m as usize),
        DecisionRule::Majority => (yes > n / 2, n - no > n / 2),
        DecisionRule::Veto { m, holders } => {
            let vetoed =
                seats.iter().any(|s| votes.get(s) == Some(&NO) && (holders.is_empty() || holders.contains(&id(*s))));
            (yes >= *m as usize, n - no >= *m as usize && !vetoed)
        }
        DecisionRule::Weights { weights, threshold } => {
            let weigh = |what: Option<Decision>| -> u32 {
                let counts = |s: &&u128| what.is_none_or(|what| votes.get(s) == Some(&what));
                seats.iter().filter(counts).map(|s| weights[&id(*s)]).sum()
            };
            (weigh(Some(YES)) >= *threshold, weigh(None) - weigh(Some(NO)) >= *threshold)
        }
        DecisionRule::TwoGroups { first, second, .. } => {
            // Some pair of two different people, one of each group.
            let pair = |fits: &dyn Fn(&Uuid) -> bool| {
                first.iter().any(|a| fits(a) && second.iter().any(|b| b != a && fits(b)))
            };
            let voted = |seat: &Uuid| votes.get(&seat.as_u128()).copied();
            (pair(&|s| voted(s) == Some(YES)), pair(&|s| voted(s) != Some(NO)))
        }
    };
    if needed {
        Some(YES)
    } else if possible {
        None
    } else {
        Some(NO)
    }
}

fn any_rule() -> impl Strategy<Value = DecisionRule> {
    let some = |seats: Vec<u128>| proptest::sample::subsequence(seats, 0..=4).prop_map(|who| ids(&who));
    let group = || proptest::sample::subsequence(vec![2, 3, 4, 5], 1..=3).prop_map(|who| ids(&who));
    prop_oneof![
        Just(DecisionRule::All),
        Just(DecisionRule::Majority),
        (1..=4_u32).prop_map(|m| DecisionRule::MOfN { m }),
        (1..=3_u32, some(vec![2, 3, 4, 5])).prop_map(|(m, holders)| DecisionRule::Veto { m, holders }),
        (group(), group()).prop_map(|(first, second)| DecisionRule::TwoGroups { first, second, m: 1 }),
        (proptest::collection::vec(0..4_u32, 4), 1..8_u32).prop_map(|(weights, threshold)| DecisionRule::Weights {
            weights: (2..).map(id).zip(weights).collect(),
            threshold,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Each vote decides by what was voted before it and by nothing else: the first at which counting says so.
    #[test]
    fn the_outcome_depends_on_the_order_of_the_stream_alone(
        rule in any_rule(),
        votes in proptest::collection::vec((2..=5_u128, prop_oneof![Just(YES), Just(NO)]), 0..12),
    ) {
        let seats = [2, 3, 4, 5];
        let asked = seated(rule.clone(), &seats);
        prop_assume!(Story::nothing().when(0, asked.clone()).0.refusal.is_none());
        let mut story = Story::nothing().and(0, asked);
        let mut cast = BTreeMap::new();
        let mut expected = None;
        for (by, decision) in votes {
            story = story.and(1, respond(by, decision));
            if expected.is_none() {
                cast.insert(by, decision);
                expected = counted(&rule, &seats, &cast);
            }
            let outcome = match &story.0.outcome {
                Some(Outcome::Responded { event, .. }) => event.decision,
                _ => None,
            };
            prop_assert_eq!(outcome, expected, "{:?} {:?}", rule, cast);
        }
    }

    /// More who agree never suffice less.
    #[test]
    fn rules_are_monotone(rule in any_rule(), agreeing in proptest::sample::subsequence(vec![2, 3, 4, 5], 0..=4), more in 2..=5_u128) {
        let seats: BTreeSet<Uuid> = [2, 3, 4, 5].map(id).into();
        let before: BTreeSet<Uuid> = ids(&agreeing).into_iter().collect();
        let after: BTreeSet<Uuid> = before.iter().copied().chain([id(more)]).collect();
        prop_assert!(!rule::suffices(&rule, &seats, &before) || rule::suffices(&rule, &seats, &after));
    }
}

#[test]
fn an_escalation_adds_a_seat_and_a_claim_keeps_others_from_a_single_vote_only() {
    let step = EscalationStep { after_minutes: 10, reviewers: ids(&[ALAN]), ..EscalationStep::default() };
    let terms =
        Terms { rule: DecisionRule::All, seats: ids(&[GRACE, EDSGER]), escalations: vec![step], ..Terms::default() };
    let story = Story::nothing().and(0, Request { terms, ..request() }).and(1, respond(GRACE, YES));
    let claim = Claim { by: person(GRACE), standing: Standing::default() };
    let story = story.and(2, claim).and(11, respond(EDSGER, YES));
    assert_eq!(story.0.state(), Some(State::Pending), "Alan has a seat by now");
    let story = story.and(12, respond(BARBARA, YES)).and(12, respond(ALAN, YES));
    assert_eq!(story.0.state(), Some(State::Responded));
}
