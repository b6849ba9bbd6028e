-- A generation of a projection is a set of its tables in one schema. The first lives in `read`, where migrations make it; a rebuild
-- makes the next beside it, in a schema of its own, and switches the views. Checkpoints, change feed and dead letters of what is live
-- stay in `read` whatever the generation is.
create table read.generation (
    projection  text not null,
    generation  integer not null check (generation > 0),
    version     integer not null,                   -- of the projection that writes it
    home        text not null check (home ~ '^[a-z_][a-z0-9_]{0,62}$'),
    state       text not null check (state in ('building', 'live', 'old')),
    tables      text[] not null,
    started_at  timestamptz not null default now(),
    switched_at timestamptz,                        -- when it went live
    primary key (projection, generation),
    unique (projection, home)
);
create unique index generation_live on read.generation (projection) where state = 'live';
create unique index generation_building on read.generation (projection) where state = 'building';

insert into read.generation (projection, generation, version, home, state, tables, switched_at) values
    ('consultation', 1, 1, 'read', 'live', array['consultation_v1', 'consultation_history_v1'], now()),
    ('consultation_stats', 1, 1, 'read', 'live', array['consultation_stats_v1'], now()),
    ('identity', 1, 1, 'read', 'live', array['user_v1', 'organisation_v1', 'member_v1'], now());

-- A projector registers a projection that is new; only the owner switches.
grant select, insert on read.generation to docket_projector;
grant select on read.generation to docket_reader;
