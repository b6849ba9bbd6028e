-- The projections `consultation` (list and detail rows, history) and `consultation_stats` (counts as per-shard partials).
-- The projector writes the versioned tables; everybody else reads the views, which switch when a projection is rebuilt.

create table read.consultation_v1 (
    id                  uuid primary key,
    tenant              uuid not null,
    shard               smallint not null,
    version             bigint not null,
    state               text not null check (state in ('pending', 'responded', 'timed_out', 'withdrawn')),
    title               text not null,
    body                text,
    context             text,
    external_id         text,
    requested_by        uuid not null,
    requested_by_name   text,                       -- null: erased
    requested_at        timestamptz not null,
    reviewers           uuid[] not null default '{}',
    deadline            timestamptz,
    ended_at            timestamptz,
    decision            text check (decision in ('approve', 'reject')),
    rule                text,
    request_version     bigint,
    ended_by            uuid,                       -- who decided, or took it back
    ended_by_name       text,                       -- null: nobody, or erased
    outcome_comment     text,
    withdrawal_reason   text,
    comment_count       integer not null default 0,
    late_response_count integer not null default 0,
    updated_at          timestamptz not null
);
create index consultation_v1_newest on read.consultation_v1 (tenant, requested_at desc, id desc);
create index consultation_v1_state on read.consultation_v1 (tenant, state, requested_at desc, id desc);
create index consultation_v1_external_id on read.consultation_v1 (tenant, external_id) where external_id is not null;

-- One row per event: what happened, by whom, in the stream's order.
create table read.consultation_history_v1 (
    consultation_id uuid not null,
    version         bigint not null,
    tenant          uuid not null,
    shard           smallint not null,
    event_id        uuid not null,
    kind            text not null,                  -- requested, commented, vote_cast, responded, withdrawn, timed_out, late_response_recorded
    at              timestamptz not null,
    by_id           uuid,
    by_name         text,                           -- null: the clock, or erased
    decision        text,
    comment         text,
    reason          text,
    primary key (consultation_id, version)
);

create table read.consultation_stats_v1 (
    tenant         uuid not null,
    shard          smallint not null,
    pending        bigint not null default 0,
    responded      bigint not null default 0,
    approved       bigint not null default 0,
    rejected       bigint not null default 0,
    timed_out      bigint not null default 0,
    withdrawn      bigint not null default 0,
    late_answered  bigint not null default 0,       -- consultations with at least one late answer
    late_responses bigint not null default 0,
    comments       bigint not null default 0,
    primary key (tenant, shard)
);

create view read.consultation with (security_invoker = true) as select * from read.consultation_v1;
create view read.consultation_history with (security_invoker = true) as select * from read.consultation_history_v1;
create view read.consultation_stats with (security_invoker = true) as select * from read.consultation_stats_v1;

do $$
declare
    name text;
begin
    foreach name in array array['consultation_v1', 'consultation_history_v1', 'consultation_stats_v1'] loop
        execute format('grant select, insert, update, delete, truncate on read.%I to docket_projector', name);
        execute format('grant select on read.%I to docket_reader', name);
        execute format('alter table read.%I enable row level security', name);
        execute format('alter table read.%I force row level security', name);
        execute format('create policy projector on read.%I to docket_projector using (true) with check (true)', name);
        execute format('create policy tenant on read.%I for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', name);
    end loop;
end $$;
grant select on read.consultation, read.consultation_history, read.consultation_stats to docket_reader, docket_projector;
