-- The projection `engagement`: what readers did, each thing once, and what it adds up to.
--
-- A thing that was told in two calls is the row of the earlier one, by time, shard and sequence, in whatever order the two are projected.
-- Sums are kept by the shard of the row that they count, and added up on read.

create table read.engagement_v1 (
    tenant          uuid not null,
    user_id         uuid not null,
    id              uuid not null,
    shard           smallint not null,
    sequence        bigint not null,
    told_at         timestamptz not null,
    action          text not null,
    kind            text not null,                  -- of the item: article or entity
    item            uuid not null,
    at              timestamptz not null,
    dwell_ms        integer,
    consultation_id uuid,
    primary key (tenant, user_id, id)
);
create index engagement_v1_history on read.engagement_v1 (tenant, user_id, at desc, id desc);
create index engagement_v1_item on read.engagement_v1 (user_id, item, at);

create table read.engagement_item_day_v1 (
    tenant   uuid not null,
    item     uuid not null,
    day      date not null,                         -- in UTC
    shard    smallint not null,
    kind     text not null,
    views    bigint not null,
    clicks   bigint not null,
    saves    bigint not null,
    shares   bigint not null,
    dwells   bigint not null,
    dwell_ms bigint not null,
    primary key (tenant, item, day, shard)
);

create table read.engagement_user_day_v1 (
    tenant   uuid not null,
    user_id  uuid not null,
    day      date not null,
    shard    smallint not null,
    views    bigint not null,
    clicks   bigint not null,
    saves    bigint not null,
    shares   bigint not null,
    dwells   bigint not null,
    dwell_ms bigint not null,
    primary key (tenant, user_id, day, shard)
);

-- How much an item is talked of: see `docket_domain::engagement::trend`.
create table read.engagement_trend_v1 (
    tenant uuid not null,
    block  integer not null,
    item   uuid not null,
    shard  smallint not null,
    kind   text not null,
    weight bigint not null,
    primary key (tenant, block, item, shard)
);

do $$
declare
    name text;
begin
    foreach name in array array['engagement', 'engagement_item_day', 'engagement_user_day', 'engagement_trend'] loop
        execute format('create view read.%I with (security_invoker = true) as select * from read.%I', name, name || '_v1');
        execute format('grant select on read.%I to docket_reader, docket_projector', name);
        execute format('grant select, insert, update, delete, truncate on read.%I to docket_projector', name || '_v1');
        execute format('grant select on read.%I to docket_reader', name || '_v1');
        execute format('alter table read.%I enable row level security', name || '_v1');
        execute format('alter table read.%I force row level security', name || '_v1');
        execute format('create policy projector on read.%I to docket_projector using (true) with check (true)', name || '_v1');
        execute format('create policy tenant on read.%I for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', name || '_v1');
    end loop;
end $$;
