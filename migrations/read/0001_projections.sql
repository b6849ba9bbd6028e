-- What every projection shares: how far it is, what changed, and what could not be applied.

create schema read;

-- The sequence applied, per projection and shard. Moved by compare-and-set as the first statement of a projection's transaction.
-- `parked` counts how often the set of parked streams changed, so that a runtime notices what `docket retry` did.
create table read.checkpoint (
    projection text not null,
    category   smallint not null,
    shard      smallint not null,
    sequence   bigint not null default 0,
    parked     bigint not null default 0,
    event_time timestamptz,
    applied_at timestamptz not null default now(),
    primary key (projection, category, shard)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The change feed: which key of which tenant changed at which sequence. Written with the rows, followed with a cursor per shard.
create table read.change (
    projection text not null,
    category   smallint not null,
    shard      smallint not null,
    sequence   bigint not null,
    tenant     uuid not null,
    key        uuid not null,
    kind       text not null,
    at         timestamptz not null default now(),
    late       boolean not null default false,      -- applied by `docket retry`, after what stands behind it
    primary key (projection, category, shard, sequence)
);
create index change_late on read.change (projection, category, shard, sequence) where late;
create index change_at on read.change using brin (at);

-- Up to which sequence changes were trimmed: a cursor before it must resync.
create table read.change_trimmed (
    projection text not null,
    category   smallint not null,
    shard      smallint not null,
    sequence   bigint not null,
    primary key (projection, category, shard)
);

-- Events that could not be applied, and all behind them of the same stream, until `docket retry`.
create table read.dead_letter (
    projection text not null,
    category   smallint not null,
    shard      smallint not null,
    sequence   bigint not null,
    tenant     uuid not null,
    stream_id  uuid not null,
    event_id   uuid not null,
    event_type text not null,
    error      text,
    parked_at  timestamptz not null default now(),
    primary key (projection, category, shard, sequence)
);
create index dead_letter_stream on read.dead_letter (projection, stream_id);

grant usage on schema read to docket_projector, docket_reader;
grant select, insert, update, delete on read.checkpoint, read.change, read.change_trimmed, read.dead_letter to docket_projector;
grant select on read.checkpoint, read.change_trimmed to docket_reader;

-- Requests see their own tenant's rows; the projector works for all. An unset tenant sees nothing.
alter table read.change enable row level security;
alter table read.change force row level security;
create policy projector on read.change to docket_projector using (true) with check (true);
alter table read.dead_letter enable row level security;
alter table read.dead_letter force row level security;
create policy projector on read.dead_letter to docket_projector using (true) with check (true);
create policy tenant on read.dead_letter for select to docket_reader
    using (tenant = nullif(current_setting('docket.tenant', true), '')::uuid);
grant select (projection, category, shard, sequence, tenant, stream_id, event_id, event_type, parked_at) on read.dead_letter
    to docket_reader;

-- The follower of the change feed in query-api works for every tenant and filters before anything leaves the process; it must say
-- so. A request's transaction never does, and sees its own tenant alone.
create policy follower on read.change for select to docket_reader
    using (tenant = nullif(current_setting('docket.tenant', true), '')::uuid or current_setting('docket.follower', true) = 'on');
grant select on read.change to docket_reader;
