-- The write side: the journal, and what commits with it.
--
-- `write` holds what command-api decides on, `vault` the keys of data subjects (backed up apart), `auth` secrets with a time to
-- live. Who may touch what stands in 0003_grants.sql.

create schema write;
create schema vault;
create schema auth;

-- One row: what was fixed when this installation was first set up.
create table write.installation (
    only_row   boolean primary key default true check (only_row),
    id         uuid not null,
    shards     smallint not null check (shards between 1 and 1024),
    log_mode   text not null check (log_mode in ('journal', 'kafka')),
    created_at timestamptz not null default now()
);

-- The codes of categories are frozen in the `events` crate; the names are here for people with psql.
create table write.category (
    code smallint primary key,
    name text not null unique
);

-- The last sequence given in each shard. Its row lock is what makes sequences visible in order and without gaps.
create table write.shard (
    category smallint not null references write.category (code),
    shard    smallint not null,
    sequence bigint not null default 0,
    primary key (category, shard)
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Every event, for ever. Data and metadata are text: the bytes that go to the log.
create table write.journal (
    category       smallint not null,
    shard          smallint not null,
    sequence       bigint not null,
    stream_id      uuid not null,
    stream_version bigint not null,
    event_id       uuid not null,
    tenant         uuid not null,
    time           timestamptz not null,
    recorded_at    timestamptz not null default clock_timestamp(),
    event_type     text not null,
    data           text not null,
    meta           text not null,
    primary key (category, shard, sequence)
);
-- Decides who wins, also between processes.
create unique index journal_stream on write.journal (stream_id, stream_version);

-- A cache: the newest folded state of a stream for each schema of the state.
create table write.snapshot (
    stream_id uuid not null,
    schema    integer not null,
    tenant    uuid not null,
    version   bigint not null,
    sequence  bigint not null,
    time      timestamptz not null,
    state     text not null,
    primary key (stream_id, schema)
);

-- The first answer to a command, by key. `id` is a hash of tenant, principal, route and key. The position is not stored: it is
-- found in the journal by stream and version. Kept for seven days.
create table write.idempotency (
    id           uuid primary key,
    tenant       uuid not null,
    request_hash bytea not null,
    status       smallint not null,
    category     smallint not null,
    stream_id    uuid not null,
    version      bigint not null,
    created_at   timestamptz not null default now()
);
create index idempotency_created_at on write.idempotency using brin (created_at);

-- Values that one stream alone may hold, as keyed hashes.
create table write.claim (
    kind      text not null,
    value     bytea not null,
    category  smallint not null,
    stream_id uuid not null,
    primary key (kind, value)
);

-- What the clock has to end. A pure function of the journal: it can be rebuilt.
create table write.deadline (
    stream_id     uuid primary key,
    category      smallint not null,
    tenant        uuid not null,
    due_at        timestamptz not null,
    claimed_until timestamptz
);
create index deadline_due_at on write.deadline (due_at);

-- Who works a shard now, and who is there to work.
create table write.member (
    team       text not null,
    id         uuid not null,
    expires_at timestamptz not null,
    primary key (team, id)
);
create table write.lease (
    team       text not null,
    category   smallint not null,
    shard      smallint not null,
    holder     uuid not null,
    expires_at timestamptz not null,
    primary key (team, category, shard)
);

create table vault.data_key (
    id         uuid primary key,
    subject    uuid not null unique,
    secret     bytea not null check (octet_length(secret) = 32),
    created_at timestamptz not null default now()
);

-- Signing keys of access tokens; both APIs read the public half.
create table auth.signing_key (
    kid         text primary key,
    public_der  bytea not null,
    private_der bytea not null,
    created_at  timestamptz not null default now(),
    retires_at  timestamptz
);

-- Keys of this installation, such as the one under which e-mail addresses are hashed.
create table auth.secret (
    name  text primary key,
    value bytea not null
);

create table auth.account (
    user_id       uuid primary key,
    email_hmac    bytea not null unique,
    password_hash text not null,
    organisation  uuid not null,
    updated_at    timestamptz not null default now()
);
