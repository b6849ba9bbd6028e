-- Webhooks: the secrets that sign them, and what is to be delivered where.

-- A secret belongs to the event that made it: an endpoint's first, or a rotation. Older ones sign too, until their time is up. The
-- callbacks of an organisation's requests share one, under an id of their own.
create table auth.webhook_secret (
    endpoint   uuid not null,
    version    bigint not null,
    tenant     uuid not null,
    secret     bytea not null check (octet_length(secret) between 24 and 64),
    until      timestamptz,                         -- null: it is the present one
    created_at timestamptz not null default now(),
    primary key (endpoint, version)
);
alter table auth.webhook_secret enable row level security;
alter table auth.webhook_secret force row level security;
create policy tenant on auth.webhook_secret to docket_writer
    using (tenant = nullif(current_setting('docket.tenant', true), '')::uuid)
    with check (tenant = nullif(current_setting('docket.tenant', true), '')::uuid);
create policy projector on auth.webhook_secret to docket_projector using (true) with check (true);
grant select, insert, update, delete on auth.webhook_secret to docket_writer;
grant usage on schema auth to docket_projector;
grant select, insert on auth.webhook_secret to docket_projector;

-- One event for one endpoint. It names the event and holds nothing of it.
create table react.delivery (
    id             uuid primary key,                -- `webhook-id`: the same in every attempt
    endpoint       uuid not null,
    callback       boolean not null,                -- to the `callback_url` of a request
    tenant         uuid not null,
    event_id       uuid not null,
    event_type     text not null,                   -- as receivers know it: consultation.responded
    category       smallint not null,
    shard          smallint not null,
    sequence       bigint not null,
    stream_id      uuid not null,
    stream_version bigint not null,
    event_time     timestamptz not null,
    state          text not null default 'pending' check (state in ('pending', 'delivered', 'dead')),
    noted_at       timestamptz not null default now(),
    due_at         timestamptz not null default now(),
    attempts       integer not null default 0,      -- since it was noted, or asked for again
    tries          integer not null default 0,      -- in all
    outcome        text,                            -- what the last attempt came to
    settled_at     timestamptz,
    unique (event_id, endpoint)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index delivery_head on react.delivery (endpoint, stream_id, stream_version) where state = 'pending';
create index delivery_tenant on react.delivery (tenant, noted_at desc, id desc);
create index delivery_endpoint on react.delivery (endpoint, noted_at desc, id desc);
create index delivery_dead on react.delivery (endpoint, noted_at desc, id desc) where state = 'dead';
create index delivery_settled on react.delivery (settled_at) where state = 'delivered';

-- A stream that has something pending for an endpoint: a row while it has. Whoever holds the claim delivers the oldest, and nobody
-- else does until `due_at`, so that one is under way at a time and order holds. Noting locks the row after the deliveries are
-- written, and settling before it looks for the next one: none is overlooked.
create table react.lane (
    endpoint  uuid not null,
    stream_id uuid not null,
    tenant    uuid not null,
    due_at    timestamptz not null default now(),   -- while somebody has the claim: when others may take it
    claim     uuid,
    primary key (endpoint, stream_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index lane_due on react.lane (endpoint, due_at);

-- How endpoints do. One that failed several times in a row is left alone until `open_until`, and then tried by one delivery.
create table react.endpoint (
    id            uuid primary key,
    tenant        uuid not null,
    off           boolean not null default false,   -- disabled or removed: what is pending is given up
    failures      integer not null default 0,       -- in a row
    failing_since timestamptz,
    open_until    timestamptz not null default '-infinity'
) with (fillfactor = 70);

-- What each attempt came to. An answer may repeat what it was sent, so it is kept in part, and not for long.
create table react.attempt (
    delivery    uuid not null,
    number      integer not null,
    tenant      uuid not null,
    endpoint    uuid not null,
    at          timestamptz not null,
    duration_ms integer not null,
    request     text not null,                      -- the headers, without signatures; size and hash of the body
    status      smallint,                           -- null: there was no answer
    error       text,                               -- null: it was taken
    answer      text,                               -- the beginning of the body
    primary key (delivery, number)
);
create index attempt_tenant on react.attempt (tenant, at desc);
create index attempt_endpoint on react.attempt (endpoint, at desc);
create index attempt_at on react.attempt using brin (at);

grant usage on schema react to docket_reader;
grant select, insert, update, delete on react.delivery, react.lane, react.endpoint, react.attempt to docket_projector;
grant select on react.delivery, react.endpoint, react.attempt to docket_reader;
do $$
declare
    name text;
begin
    foreach name in array array['delivery', 'endpoint', 'attempt'] loop
        execute format('alter table react.%I enable row level security', name);
        execute format('alter table react.%I force row level security', name);
        execute format('create policy projector on react.%I to docket_projector using (true) with check (true)', name);
        execute format('create policy tenant on react.%I for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', name);
    end loop;
end $$;
