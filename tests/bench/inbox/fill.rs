//! One organisation with very many consultations, a tenth of them pending: the events that tell of it, and their projection.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use docket_domain::consultation::{Consultation, plain_terms};
use docket_events::{
    Category, StreamId,
    consultation::{Answer, ConsultationEvent, Decision, Person, Priority, Requested, Responded, Rule, VoteCast},
    identity::{GroupCreated, GroupMemberAdded, IdentityEvent, MemberAdded, OrganisationCreated, Role},
};
use docket_log::{CommandContext, Store, Timed, Verdict, load::Loaded};
use docket_platform::{clock, ids};
use docket_tests::{TENANT, context, new_stream, person};
use futures_util::{TryStreamExt, future::try_join_all, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::words::Vocabulary;
use crate::{process::Place, projected};

/// Those who may be asked.
pub const REVIEWERS: usize = 500;
const REQUESTERS: usize = 50;
const GROUPS: usize = 100;
/// Groups that a reviewer belongs to.
const GROUPS_EACH: usize = 3;
/// Every how-manieth is pending.
const PENDING: usize = 10;
const SEED: u64 = 0xd0c4e7;

/// Tasks that write, and the consultations that each has under way.
const WRITERS: usize = 4;
const AT_ONCE: usize = 256;
/// Events of the organisation that are appended together.
const CHUNK: usize = 500;
/// How often it is looked whether all is projected.
const LOOK: Duration = Duration::from_millis(500);

fn requester(n: usize) -> Person {
    person(1 + n as u128)
}

pub fn reviewer(n: usize) -> Person {
    person(1_000 + n as u128)
}

fn group(n: usize) -> Uuid {
    Uuid::from_u128(0x9000_0000 + n as u128)
}

/// Every group has as many members as any other.
fn groups_of(reviewer: usize) -> impl Iterator<Item = usize> {
    (0..GROUPS_EACH).map(move |n| (reviewer + 37 * n) % GROUPS)
}

/// What the consultations are made from. The same each time, but for ids and the time.
struct Shape {
    words: Vocabulary,
    count: usize,
    now: DateTime<Utc>,
}

/// Who is named to answer, and one who may.
struct Named {
    reviewers: Vec<Uuid>,
    group: Option<Uuid>,
    role: Option<Role>,
    answers: Person,
}

impl Named {
    /// Of twenty, eight name one or two reviewers, eight a group, three nobody, and one a role.
    fn of(rng: &mut StdRng) -> Self {
        let any = rng.random_range(0..REVIEWERS);
        let nobody = Self { reviewers: Vec::new(), group: None, role: None, answers: reviewer(any) };
        match rng.random_range(0..20) {
            0..8 => {
                let mut reviewers = vec![reviewer(any).id];
                if rng.random_bool(0.5) {
                    reviewers.push(reviewer((any + rng.random_range(1..REVIEWERS)) % REVIEWERS).id);
                }
                Self { reviewers, ..nobody }
            }
            8..16 => Self { group: groups_of(any).next().map(group), ..nobody },
            16..19 => nobody,
            _ => Self { role: Some(Role::Reviewer), ..nobody },
        }
    }
}

impl Shape {
    /// The history of the consultation at place `n`; all were asked in the course of a year.
    fn story(&self, n: usize) -> Vec<Timed<ConsultationEvent>> {
        let mut rng = StdRng::seed_from_u64(SEED + n as u64);
        let at =
            self.now - TimeDelta::days(365) * i32::try_from(self.count - n).unwrap_or(i32::MAX) / self.count as i32;
        let named = Named::of(&mut rng);
        let is_pending = n.is_multiple_of(PENDING);
        let from = if is_pending { self.now } else { at + TimeDelta::days(3) };
        let deadline = from + TimeDelta::minutes(rng.random_range(60..30 * 24 * 60));
        let requested = Requested {
            body: Some(self.words.text(&mut rng, 7, 52)),
            reviewers: named.reviewers,
            deadline: rng.random_bool(0.8).then_some(deadline),
            priority: Priority::ALL[[1, 1, 1, 1, 1, 1, 0, 2, 2, 3][rng.random_range(0..10)]],
            labels: self.words.labels(&mut rng),
            ..Requested::new(self.words.text(&mut rng, 3, 8), requester(rng.random_range(0..REQUESTERS)))
        };
        let mut events = vec![(at, ConsultationEvent::Requested(requested))];
        if named.group.is_some() || named.role.is_some() {
            let (groups, roles) = (named.group.into_iter().collect(), named.role.into_iter().collect());
            let mut terms = plain_terms();
            (terms.groups, terms.roles) = (groups, roles);
            events.push((at, ConsultationEvent::TermsSet(Box::new(terms))));
        }
        if !is_pending {
            let at = (at + TimeDelta::minutes(rng.random_range(10..3 * 24 * 60))).min(self.now);
            let decision = if rng.random_bool(0.8) { Decision::Approve } else { Decision::Reject };
            let version = events.len() as u64;
            events.extend(answer(named.answers, decision, version).map(|event| (at, event)));
        }
        events.into_iter().map(|(time, event)| Timed { time, id: ids::new_id(), event }).collect()
    }
}

fn answer(by: Person, decision: Decision, request_version: u64) -> [ConsultationEvent; 2] {
    let vote = VoteCast::new(by.clone(), Answer::of(decision), None);
    let responded = Responded {
        decision: Some(decision),
        by,
        rule: Rule::AnyOne,
        request_version,
        comment: None,
        content: None,
        private: None,
        agreed: Vec::new(),
    };
    [ConsultationEvent::VoteCast(vote), ConsultationEvent::Responded(responded)]
}

/// Journals `count` consultations.
pub async fn consultations(store: &Store, count: usize) -> Result<()> {
    let shape = Arc::new(Shape { words: Vocabulary::new()?, count, now: clock::now().trunc_subsecs(6) });
    let writers = (0..WRITERS).map(|first| {
        let (store, shape) = (store.clone(), shape.clone());
        tokio::spawn(async move {
            let work = stream::iter((first..count).step_by(WRITERS).map(anyhow::Ok));
            work.try_for_each_concurrent(AT_ONCE, |n| write(&store, &shape, n)).await
        })
    });
    try_join_all(writers).await?.into_iter().collect()
}

async fn write(store: &Store, shape: &Shape, n: usize) -> Result<()> {
    // A stream that nobody has written needs no loading.
    let new = Loaded { state: Consultation::default(), version: 0, sequence: 0, last_time: None, now: shape.now };
    let stream = new_stream();
    let (_, append) = store.prepare(&context(), stream, new, shape.story(n)).await?;
    let verdict = store.append(append).await?;
    ensure!(matches!(verdict, Verdict::Appended { .. }), "{verdict:?}");
    Ok(())
}

/// Journals the organisation: its members and groups.
pub async fn organisation(store: &Store) -> Result<()> {
    let mut events =
        vec![IdentityEvent::OrganisationCreated(OrganisationCreated { name: "Bench".to_owned(), address: None })];
    let requesters = (0..REQUESTERS).map(|n| (requester(n), Role::Requester));
    for (person, role) in requesters.chain((0..REVIEWERS).map(|n| (reviewer(n), Role::Reviewer))) {
        events.push(IdentityEvent::MemberAdded(MemberAdded { user_id: person.id, role, address: None }));
    }
    events.extend(
        (0..GROUPS)
            .map(|n| IdentityEvent::GroupCreated(GroupCreated { group_id: group(n), name: format!("Group {n}") })),
    );
    events.extend((0..REVIEWERS).flat_map(|n| {
        groups_of(n).map(move |of| {
            IdentityEvent::GroupMemberAdded(GroupMemberAdded { group_id: group(of), user_id: reviewer(n).id })
        })
    }));
    let stream = StreamId::new(Category::Identity, TENANT);
    let context = CommandContext { tenant: TENANT, ..CommandContext::default() };
    for chunk in events.chunks(CHUNK) {
        let (loaded, _) = store.load::<docket_domain::identity::Organisation>(stream, None).await?;
        let timed = |event: &IdentityEvent| Timed { time: loaded.now, id: ids::new_id(), event: event.clone() };
        let chunk = chunk.iter().map(timed).collect();
        let (_, append) = store.prepare(&context, stream, loaded, chunk).await?;
        let verdict = store.append(append).await?;
        ensure!(matches!(verdict, Verdict::Appended { .. }), "{verdict:?}");
    }
    Ok(())
}

/// Lets a projector apply all that is journalled, and ends it.
pub async fn project(place: &Place, docket: &Path) -> Result<()> {
    let projector = place.role(docket, "projector").await?;
    projected::all(&place.owner, &[Category::Identity, Category::Consultation], LOOK).await?;
    projector.stop().await
}
