//! The projection `consultation_stats`: how many consultations of a tenant stand where.
//!
//! Owns `consultation_stats_v1`, one row per tenant and shard: a partial that is summed on read, so that the order of shards does
//! not matter. It must not look at single consultations: it only adds.

use std::collections::BTreeMap;

use docket_events::{
    Category, Event, Recorded,
    consultation::{ConsultationEvent, Decision},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::{Change, Info, Poison, Projection, Schema, Table, WriteError};

/// Counts per tenant and shard.
#[derive(Debug, Clone, Copy)]
pub struct ConsultationStats;

/// What the events of a batch add.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Deltas {
    pub(super) pending: i64,
    pub(super) responded: i64,
    pub(super) approved: i64,
    pub(super) rejected: i64,
    pub(super) timed_out: i64,
    pub(super) withdrawn: i64,
    pub(super) late_answered: i64,
    pub(super) late_responses: i64,
    pub(super) comments: i64,
}

impl Deltas {
    fn add(&mut self, other: &Self) {
        self.pending += other.pending;
        self.responded += other.responded;
        self.approved += other.approved;
        self.rejected += other.rejected;
        self.timed_out += other.timed_out;
        self.withdrawn += other.withdrawn;
        self.late_answered += other.late_answered;
        self.late_responses += other.late_responses;
        self.comments += other.comments;
    }
}

const UPSERT: &str = "insert into {schema}.consultation_stats_v1 as s
         (tenant, shard, pending, responded, approved, rejected, timed_out, withdrawn, late_answered, late_responses, comments)
     select * from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                          $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
     on conflict (tenant, shard) do update set
         pending = s.pending + excluded.pending,
         responded = s.responded + excluded.responded,
         approved = s.approved + excluded.approved,
         rejected = s.rejected + excluded.rejected,
         timed_out = s.timed_out + excluded.timed_out,
         withdrawn = s.withdrawn + excluded.withdrawn,
         late_answered = s.late_answered + excluded.late_answered,
         late_responses = s.late_responses + excluded.late_responses,
         comments = s.comments + excluded.comments";

impl Projection for ConsultationStats {
    const INFO: Info = Info {
        name: "consultation_stats",
        version: 1,
        categories: &[Category::Consultation],
        tables: &[Table { name: "consultation_stats_v1", personal: &[] }],
    };

    type Batch = BTreeMap<(Uuid, u16), Deltas>;

    fn apply(&self, batch: &mut Self::Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        let Event::Consultation(data) = data else { return Ok(()) };
        let mut deltas = Deltas::default();
        match data {
            ConsultationEvent::TermsSet(_)
            | ConsultationEvent::Claimed(_)
            | ConsultationEvent::Released(_)
            | ConsultationEvent::Assigned(_)
            | ConsultationEvent::Delegated(_)
            | ConsultationEvent::InformationRequested(_)
            | ConsultationEvent::InformationProvided(_)
            | ConsultationEvent::Reminded(_)
            | ConsultationEvent::Escalated(_)
            | ConsultationEvent::VoteCast(_)
            | ConsultationEvent::ReceiptRedeemed(_)
            | ConsultationEvent::ReceiptRevoked(_) => return Ok(()),
            ConsultationEvent::Requested(_) => deltas.pending += 1,
            ConsultationEvent::Commented(_) => deltas.comments += 1,
            ConsultationEvent::Responded(data) => {
                deltas.pending -= 1;
                deltas.responded += 1;
                match data.decision {
                    Some(Decision::Approve) => deltas.approved += 1,
                    Some(Decision::Reject) => deltas.rejected += 1,
                    // Another kind of answer; or one about a person, which is counted nowhere: when it is erased it must not be missed.
                    None => {}
                }
            }
            ConsultationEvent::TimedOut(_) => {
                deltas.pending -= 1;
                deltas.timed_out += 1;
            }
            ConsultationEvent::Withdrawn(_) => {
                deltas.pending -= 1;
                deltas.withdrawn += 1;
            }
            ConsultationEvent::LateResponseRecorded(data) => {
                deltas.late_responses += 1;
                deltas.late_answered += i64::from(data.ordinal == 1);
            }
        }
        batch.entry((event.tenant, event.shard)).or_default().add(&deltas);
        Ok(())
    }

    async fn write(
        &self,
        schema: &Schema,
        connection: &mut PgConnection,
        batch: &Self::Batch,
    ) -> Result<(), WriteError> {
        if batch.is_empty() {
            return Ok(());
        }
        let column = |of: fn(&Deltas) -> i64| batch.values().map(of).collect::<Vec<_>>();
        sqlx::query(schema.sql(UPSERT))
            .bind(batch.keys().map(|(tenant, _)| *tenant).collect::<Vec<_>>())
            .bind(batch.keys().map(|(_, shard)| *shard as i16).collect::<Vec<_>>())
            .bind(column(|deltas| deltas.pending))
            .bind(column(|deltas| deltas.responded))
            .bind(column(|deltas| deltas.approved))
            .bind(column(|deltas| deltas.rejected))
            .bind(column(|deltas| deltas.timed_out))
            .bind(column(|deltas| deltas.withdrawn))
            .bind(column(|deltas| deltas.late_answered))
            .bind(column(|deltas| deltas.late_responses))
            .bind(column(|deltas| deltas.comments))
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Nobody follows single counts: whoever shows them follows the consultations.
    fn change<'a>(&self, _: &'a Recorded, _: &Event) -> Option<Change<'a>> {
        None
    }
}
