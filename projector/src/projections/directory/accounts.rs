//! A row per user: what was shown of the address, the second factor, when sessions were last ended all at once, and how
//! the user wants to be told by mail.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Recorded,
    identity::{AllSessionsRevoked, IdentityEvent, PasswordChanged},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::all_there;
use crate::projection::{Schema, WriteError};

/// What a batch says of accounts, by user.
#[derive(Debug, Default)]
pub struct Accounts(pub(in crate::projections) BTreeMap<Uuid, Account>);

/// Changes of one account; none where nothing was said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::projections) struct Account {
    /// The shard, when the registration is part of the batch.
    new: Option<u16>,
    verified_at: Option<DateTime<Utc>>,
    second_factor: Option<Option<DateTime<Utc>>>,
    sessions_ended: Option<(u64, Option<Uuid>)>,
    /// As JSON.
    notifications: Option<String>,
}

const NEW: &str = "insert into {schema}.account_v1 (user_id, shard)
     select * from unnest($1::uuid[], $2::smallint[])
     on conflict (user_id) do update set shard = excluded.shard, verified_at = null, second_factor_at = null,
         sessions_ended = 0, session_kept = null, notifications = null";

const CHANGED: &str = "update {schema}.account_v1 a set
         verified_at = coalesce(p.verified_at, a.verified_at),
         second_factor_at = case when p.factor then p.second_factor_at else a.second_factor_at end,
         sessions_ended = coalesce(p.sessions_ended, a.sessions_ended),
         session_kept = case when p.sessions_ended is null then a.session_kept else p.session_kept end,
         notifications = coalesce(p.notifications, a.notifications)
     from unnest($1::uuid[], $2::timestamptz[], $3::boolean[], $4::timestamptz[], $5::bigint[], $6::uuid[], $7::text[])
         as p (user_id, verified_at, factor, second_factor_at, sessions_ended, session_kept, notifications)
     where a.user_id = p.user_id";

impl Accounts {
    pub(super) fn fold(&mut self, event: &Recorded, data: &IdentityEvent) {
        let account = self.0.entry(event.stream.id).or_default();
        match data {
            IdentityEvent::UserRegistered(_) => account.new = Some(event.shard),
            IdentityEvent::AddressVerified(_) => account.verified_at = Some(event.time),
            IdentityEvent::SecondFactorEnabled(_) => account.second_factor = Some(Some(event.time)),
            IdentityEvent::SecondFactorDisabled(_) => account.second_factor = Some(None),
            IdentityEvent::PasswordChanged(PasswordChanged { kept, .. }) => {
                account.sessions_ended = Some((event.version, *kept));
            }
            IdentityEvent::AllSessionsRevoked(AllSessionsRevoked { kept }) => {
                account.sessions_ended = Some((event.version, Some(*kept)));
            }
            IdentityEvent::NotificationPreferencesSet(wanted) => {
                account.notifications = serde_json::to_string(wanted).ok();
            }
            _ => {}
        }
    }

    pub(super) async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        let new: Vec<(Uuid, u16)> = self.0.iter().filter_map(|(id, account)| Some((*id, account.new?))).collect();
        if !new.is_empty() {
            sqlx::query(schema.sql(NEW))
                .bind(new.iter().map(|(id, _)| *id).collect::<Vec<_>>())
                .bind(new.iter().map(|(_, shard)| *shard as i16).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        let untouched = |account: &Account| *account == Account { new: account.new, ..Account::default() };
        let changed: Vec<_> = self.0.iter().filter(|(_, account)| !untouched(account)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let done = sqlx::query(schema.sql(CHANGED))
            .bind(changed.iter().map(|(id, _)| **id).collect::<Vec<_>>())
            .bind(changed.iter().map(|(_, account)| account.verified_at).collect::<Vec<_>>())
            .bind(changed.iter().map(|(_, account)| account.second_factor.is_some()).collect::<Vec<_>>())
            .bind(changed.iter().map(|(_, account)| account.second_factor.flatten()).collect::<Vec<_>>())
            .bind(
                changed.iter().map(|(_, account)| account.sessions_ended.map(|(at, _)| at as i64)).collect::<Vec<_>>(),
            )
            .bind(
                changed
                    .iter()
                    .map(|(_, account)| account.sessions_ended.and_then(|(_, kept)| kept))
                    .collect::<Vec<_>>(),
            )
            .bind(changed.iter().map(|(_, account)| account.notifications.as_deref()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        all_there(done.rows_affected(), changed.len(), "accounts")
    }
}
