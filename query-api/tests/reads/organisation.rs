//! An organisation with one of everything, as the projections would write it.

use docket_domain::engagement::trend;
use docket_platform::{
    auth::{Principal, Role, permissions::Action},
    clock,
};
use uuid::Uuid;

use crate::support::{Asked, World};

/// One of everything that an organisation has.
pub struct Organisation {
    pub tenant: Uuid,
    pub admin: Uuid,
    pub consultation: Uuid,
    pub session: Uuid,
    pub group: Uuid,
    pub key: Uuid,
    pub invitation: Uuid,
    /// Of the organisation's trail, and of its administrator's account.
    pub events: [Uuid; 2],
}

impl Organisation {
    /// Every text of the organisation holds the word `word`.
    pub async fn make(world: &World, n: u128, word: &str) -> Self {
        let id = |what: u128| Uuid::from_u128(0x0f00_0000 | n << 8 | what);
        let consultation = Asked { name: Some(word.to_owned()), ..Asked::titled(word) };
        let consultation = world.asked(id(1), &consultation).await.0;
        let events = [id(8), id(9)];
        let made = Self {
            tenant: id(1),
            admin: id(2),
            consultation,
            session: id(4),
            group: id(5),
            key: id(6),
            invitation: id(7),
            events,
        };
        made.write(world, word).await;
        made
    }

    async fn write(&self, world: &World, word: &str) {
        let Self { tenant, admin, consultation, session, group, key, invitation, events: [event, own] } = self;
        let (nil, block) = (Uuid::nil(), trend::block(clock::now()));
        world
            .run(&format!(
                "insert into read.organisation_v1 values ('{tenant}', '{tenant}', 0, '{word}', now());
                 insert into read.user_v1 values ('{admin}', 0, '{word}', '{word}@docket.example', now());
                 insert into read.member_v1 values ('{tenant}', '{admin}', 0, 'admin', now());
                 insert into read.account_v1 values ('{admin}', 0, now(), now());
                 insert into read.session_v1 values
                     ('{session}', '{tenant}', 0, '{admin}', 'password', 1, now(), now() + interval '1 day', true, '{word}', '{word}');
                 insert into read.api_key_v1 values ('{key}', '{tenant}', 0, '{word}', array['{word}'], '{admin}', now());
                 insert into read.group_v1 values ('{tenant}', '{group}', 0, '{word}', now());
                 insert into read.group_member_v1 values ('{tenant}', '{group}', '{admin}', 0, now());
                 insert into read.invitation_v1 values
                     ('{tenant}', '{invitation}', 0, '{word}@docket.example', 'admin', '{admin}', now(), now() + interval '1 day');
                 insert into read.consultation_cited_v1 values ('{consultation}', '{consultation}', '{tenant}', 0, now());
                 insert into read.reading_period_v1 values ('{tenant}', 1, 0, now(), null);
                 insert into read.template_v1 values
                     ('{group}', 1, '{tenant}', '{consultation}', 0, '{{\"title\":\"{word}\"}}', '{{\"title\":\"{word}\"}}', '{admin}', now());
                 insert into read.webhook_endpoint_v1 (id, tenant, shard, url, description, event_types, format, template, set_by, created_at, set_at)
                     values ('{consultation}', '{tenant}', 0, 'https://{word}.example', '{word}', array['{word}'], 'json', '\"{word}\"', '{admin}',
                             now(), now());
                 insert into react.delivery (id, endpoint, callback, tenant, event_id, event_type, category, shard, sequence, stream_id,
                                             stream_version, event_time, state, outcome)
                     values ('{consultation}', '{consultation}', false, '{tenant}', '{event}', 'consultation.{word}', 2, 0, 1, '{consultation}', 1,
                             now(), 'dead', '{word}');
                 insert into react.attempt (delivery, number, tenant, endpoint, at, duration_ms, request, error, answer)
                     values ('{consultation}', 1, '{tenant}', '{consultation}', now() + interval '1 hour', 1, '{{}}', '{word}', '{word}');
                 insert into read.entity_v1 (id, tenant, shard, version, type, name, aliases, properties, confidence, added_at, updated_at, words, letters)
                     select id::uuid, '{tenant}', 0, 1, 'thing', '{word}', array['{word}'], '{{}}', 1, now(), now(),
                            read.entity_words('{tenant}', '{word}', array['{word}'], null), '{word}'
                     from unnest(array['{consultation}', '{group}']) id;
                 insert into read.relationship_v1 (id, tenant, shard, version, source_id, type, target_id, properties, confidence, added_at, updated_at)
                     values ('{key}', '{tenant}', 0, 1, '{consultation}', '{word}', '{group}', '{{}}', 1, now(), now());
                 insert into read.article_v1
                     select id::uuid, '{tenant}', 0, 1, '{word}', '{word}', '{word}', 'text', 1, 1, array['{word}'], array['{consultation}'::uuid],
                            null, null, now(), now(), now(), null, read.article_words('{tenant}', '{word}', '{word}', '{word}')
                     from unnest(array['{consultation}', '{group}']) id;
                 insert into read.topic_v1 values ('{tenant}', '{word}', 0, '{word}', null);
                 insert into read.preference_v1 values ('{key}', '{tenant}', 0, 1, '{admin}', '{{\"{word}\":1}}', now());
                 insert into read.saved_v1 values ('{key}', '{tenant}', 0, 1, '{admin}', '{consultation}', '{word}', now());
                 insert into read.engagement_v1 values
                     ('{tenant}', '{admin}', '{key}', 0, 0, now(), 'view', 'article', '{consultation}', now(), null, '{consultation}');
                 insert into read.engagement_item_day_v1 values ('{tenant}', '{consultation}', current_date, 0, 'article', 1, 0, 0, 0, 0, 0);
                 insert into read.engagement_trend_v1 values ('{tenant}', {block}, '{consultation}', 0, 'article', 65536);
                 with c as (update read.checkpoint set sequence = sequence + 1 where projection = 'knowledge' and shard = 0 returning *)
                     insert into read.change select projection, category, shard, sequence, '{tenant}', '{consultation}', 'entity_added' from c;
                 with c as (update read.checkpoint set sequence = sequence + 1 where projection = 'feed' and shard = 0 returning *)
                     insert into read.change select projection, category, shard, sequence, '{tenant}', '{consultation}', 'article_published' from c;
                 with c as (update read.checkpoint set sequence = sequence + 1 where projection = 'engagement' and shard = 0 returning *)
                     insert into read.change select projection, category, shard, sequence, '{tenant}', '{consultation}', 'recorded' from c;
                 insert into read.audit_member_v1 values ('{tenant}', '{admin}', 0);
                 insert into read.audit_person_v1 values ('{admin}', 0, '{word}');
                 insert into read.audit_v1 (event_id, tenant, shard, kind, at, by_id, session_id, address, user_id, group_id) values
                     ('{event}', '{tenant}', 0, 'group_member_added', now(), '{admin}', '{session}', null, '{admin}', '{group}'),
                     ('{own}', '{nil}', 0, 'locked_out', now(), null, null, '{word}', '{admin}', null)"
            ))
            .await;
    }

    /// Something happens to the entity and to the article that have the consultation's id, and somebody does something with it.
    pub async fn changed(&self, world: &World) {
        let Self { tenant, consultation, .. } = self;
        for (projection, kind) in
            [("knowledge", "entity_changed"), ("feed", "article_published"), ("engagement", "recorded")]
        {
            world
                .run(&format!(
                    "with c as (update read.checkpoint set sequence = sequence + 1 where projection = '{projection}' and shard = 0 returning *)
                     insert into read.change select projection, category, shard, sequence, '{tenant}', '{consultation}', '{kind}' from c"
                ))
                .await;
        }
        world.bell.ring();
    }

    /// Its administrator, in the session.
    pub fn principal(&self) -> Principal {
        Principal { session: Some(self.session), ..Principal::member(self.admin, self.tenant, Role::Admin) }
    }

    /// Everything that it could be asked for by.
    pub fn identifiers(&self) -> Vec<(&'static str, Uuid)> {
        vec![
            ("tenant", self.tenant),
            ("user", self.admin),
            ("consultation", self.consultation),
            ("session", self.session),
            ("group", self.group),
            ("key", self.key),
            ("invitation", self.invitation),
            ("event", self.events[0]),
            ("event of an account", self.events[1]),
        ]
    }

    /// Every REST read of what an organisation has, and who may.
    pub fn reads(&self) -> [(String, Action); 17] {
        [
            (format!("consultations/{}", self.consultation), Action::Read),
            (format!("consultations/{}/reading", self.consultation), Action::Read),
            ("consultations".to_owned(), Action::Read),
            ("events".to_owned(), Action::Read),
            (format!("entities/{}", self.consultation), Action::ReadKnowledge),
            ("entities?text=treasure".to_owned(), Action::ReadKnowledge),
            (format!("entities/{}/relationships", self.consultation), Action::ReadKnowledge),
            (format!("relationships/{}", self.key), Action::ReadKnowledge),
            (format!("articles/{}", self.consultation), Action::ReadKnowledge),
            ("articles".to_owned(), Action::ReadKnowledge),
            (format!("engagement/{}", self.consultation), Action::ReadKnowledge),
            ("feed".to_owned(), Action::ReadKnowledge),
            ("feed/trending".to_owned(), Action::ReadKnowledge),
            ("topics".to_owned(), Action::ReadKnowledge),
            ("user/engagement".to_owned(), Action::Engage),
            ("user/saved".to_owned(), Action::Engage),
            ("user/topics/preferences".to_owned(), Action::Engage),
        ]
    }
}
