-- What reactors have to do, and how far they are. Unlike a read model this is not derived from the log: it is never made anew, or
-- mails would be sent again.
create schema react;

-- The sequence up to which a reactor has noted its intents. It begins where the log ended when the reactor was registered.
create table react.checkpoint (
    projection text not null,                       -- the reactor
    category   smallint not null,
    shard      smallint not null,
    sequence   bigint not null,
    parked     bigint not null default 0,
    event_time timestamptz,
    applied_at timestamptz not null default now(),
    primary key (projection, category, shard)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Events of which a reactor cannot tell what they ask for, and all behind them of the same stream, until `docket retry`.
create table react.dead_letter (
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
create index dead_letter_stream on react.dead_letter (projection, stream_id);

-- One thing to do because of one event. It names the event, and holds nothing of it: what an erasure takes away is not sent later.
create table react.intent (
    event_id   uuid not null,
    reactor    text not null,
    target     text not null,
    id         uuid not null unique,                -- the same in every attempt
    tenant     uuid not null,
    category   smallint not null,
    shard      smallint not null,
    sequence   bigint not null,
    state      text not null default 'pending' check (state in ('pending', 'done', 'dead')),
    noted_at   timestamptz not null default now(),
    due_at     timestamptz not null default now(),  -- while somebody tries: when others may
    attempts   integer not null default 0,
    attempt    uuid,                                -- the attempt under way
    outcome    text,                                -- by whom it was done, or why it was not
    settled_at timestamptz,
    primary key (event_id, reactor, target)
);
create index intent_due on react.intent (due_at) where state = 'pending';
create index intent_dead on react.intent (settled_at) where state = 'dead';
create index intent_done on react.intent (settled_at) where state = 'done';

grant usage on schema react to docket_projector;
grant select, insert, update, delete on react.checkpoint, react.dead_letter, react.intent to docket_projector;

-- The projector works for every tenant; nobody else sees any of it.
alter table react.intent enable row level security;
alter table react.intent force row level security;
create policy projector on react.intent to docket_projector using (true) with check (true);
alter table react.dead_letter enable row level security;
alter table react.dead_letter force row level security;
create policy projector on react.dead_letter to docket_projector using (true) with check (true);
