-- The projection `events`: which events are an organisation's own, and where in the journal they stand. `GET /api/v1/events` finds them here
-- and reads them there (ADR 0020). Events of users' streams belong to no organisation and are not among them.

create table read.event_v1 (
    tenant   uuid not null,
    category smallint not null,
    shard    smallint not null,
    sequence bigint not null,
    kind     text not null,                         -- `responded` of `docket.consultation.responded.v1`
    at       timestamptz not null,                  -- when it was decided: pages are merged by it
    primary key (tenant, category, shard, sequence) include (kind, at)
);

create view read.event with (security_invoker = true) as select * from read.event_v1;

grant select, insert, update, delete, truncate on read.event_v1 to docket_projector;
grant select on read.event_v1 to docket_reader;
grant select on read.event to docket_reader, docket_projector;
alter table read.event_v1 enable row level security;
alter table read.event_v1 force row level security;
create policy projector on read.event_v1 to docket_projector using (true) with check (true);
-- Whoever wakes those who wait looks for all of them at once, and must say so (ADR 0007).
create policy tenant on read.event_v1 for select to docket_reader
    using (tenant = nullif(current_setting('docket.tenant', true), '')::uuid or current_setting('docket.follower', true) = 'on');

-- These events of the tenant, in the order in which they are named. No more than the first and whatever comes to `p_bytes` with it.
create function read.journalled_events(p_tenant uuid, p_categories smallint[], p_shards smallint[], p_sequences bigint[], p_bytes bigint)
returns table (category smallint, shard smallint, sequence bigint, stream_id uuid, stream_version bigint, event_id uuid, tenant uuid,
               "time" timestamptz, recorded_at timestamptz, event_type text, data text, meta text)
language sql stable security definer set search_path = ''
as $$
    select e.category, e.shard, e.sequence, e.stream_id, e.stream_version, e.event_id, e.tenant, e.time, e.recorded_at, e.event_type,
           e.data, e.meta
    from (select j.*, p.place, sum(octet_length(j.data)) over (order by p.place) as bytes
          from unnest(p_categories, p_shards, p_sequences) with ordinality as p (category, shard, sequence, place)
          join write.journal j on j.category = p.category and j.shard = p.shard and j.sequence = p.sequence
          where j.tenant = p_tenant and p_tenant = nullif(current_setting('docket.tenant', true), '')::uuid) e
    where e.place = 1 or e.bytes <= p_bytes
    order by e.place
$$;

-- Of these keys, each named with an event of the tenant, those that stand in that event. One that was destroyed is not there: what was
-- sealed under it is erased.
create function read.journalled_keys(p_tenant uuid, p_categories smallint[], p_shards smallint[], p_sequences bigint[], p_keys uuid[])
returns table (id uuid, secret bytea)
language sql stable security definer set search_path = ''
as $$
    select distinct k.id, k.secret
    from unnest(p_categories, p_shards, p_sequences, p_keys) as p (category, shard, sequence, key)
    join write.journal j on j.category = p.category and j.shard = p.shard and j.sequence = p.sequence
    join vault.data_key k on k.id = p.key
    where j.tenant = p_tenant and p_tenant = nullif(current_setting('docket.tenant', true), '')::uuid
      and position(k.id::text in j.data) > 0
$$;

do $$
declare
    signature text;
begin
    foreach signature in array array['read.journalled_events(uuid, smallint[], smallint[], bigint[], bigint)',
                                     'read.journalled_keys(uuid, smallint[], smallint[], bigint[], uuid[])'] loop
        execute format('revoke all on function %s from public', signature);
        execute format('grant execute on function %s to docket_reader', signature);
    end loop;
end $$;
