-- What identity keeps besides events: secrets, with a time to live. What counts (who is a member, which session is open, which key was
-- revoked) stands in the journal alone; a row here that an event contradicts is worth nothing.

-- What takes something away from somebody, for those who have to know at once: every process that lets people in follows it. The
-- view runs as its owner, since those who read it may not read the journal.
create index journal_revocation on write.journal (recorded_at)
    where event_type in ('docket.identity.session_revoked.v1', 'docket.identity.all_sessions_revoked.v1',
                         'docket.identity.password_changed.v1', 'docket.identity.role_changed.v1',
                         'docket.identity.member_removed.v1', 'docket.identity.api_key_revoked.v1');
create view auth.revocation as
    select category, shard, sequence, stream_id, stream_version, tenant, event_type, data, recorded_at
    from write.journal
    where event_type in ('docket.identity.session_revoked.v1', 'docket.identity.all_sessions_revoked.v1',
                         'docket.identity.password_changed.v1', 'docket.identity.role_changed.v1',
                         'docket.identity.member_removed.v1', 'docket.identity.api_key_revoked.v1');
grant select on auth.revocation to docket_writer, docket_reader;

-- A login that goes on. `place` are keyed hashes of network address and program: whether the user was seen there before.
create table auth.session (
    id           uuid primary key,
    tenant       uuid not null,
    user_id      uuid not null,
    started_at   timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    expires_at   timestamptz not null,
    places       bytea[] not null default '{}'
);
create index session_owner on auth.session (user_id);
create index session_expiry on auth.session (expires_at);

-- Single use: a row is marked when it is used and kept while its session may go on, so that a second use is noticed.
create table auth.refresh_token (
    hash       bytea primary key check (octet_length(hash) = 32),
    session_id uuid not null references auth.session (id) on delete cascade,
    issued_at  timestamptz not null default now(),
    used_at    timestamptz
);
create index refresh_token_session on auth.refresh_token (session_id);

-- Where a user may belong: a hint, written before the event and checked against the organisation's stream.
create table auth.membership (
    user_id uuid not null,
    tenant  uuid not null,
    primary key (user_id, tenant)
);
insert into auth.membership (user_id, tenant) select user_id, organisation from auth.account;

-- RFC 6238. `last_step` is the last time step whose code was taken.
create table auth.second_factor (
    user_id      uuid primary key,
    secret       bytea not null,
    last_step    bigint not null default 0,
    confirmed_at timestamptz,
    created_at   timestamptz not null default now()
);
create table auth.recovery_code (
    user_id uuid not null,
    hash    bytea not null check (octet_length(hash) = 32),
    primary key (user_id, hash)
);

-- The secrets of API keys: two while a rotation overlaps.
create table auth.api_key_secret (
    hash       bytea primary key check (octet_length(hash) = 32),
    key_id     uuid not null,
    tenant     uuid not null,
    scopes     text[] not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz
);
create index api_key_secret_key on auth.api_key_secret (key_id);
create table auth.api_key_use (
    key_id       uuid primary key,
    tenant       uuid not null,
    last_used_at timestamptz not null
);

-- For an invitation, `user_id` is the invitation and `tenant` whose it is.
alter table auth.mailed_token add column tenant uuid;

grant select, insert, update, delete on auth.session, auth.refresh_token, auth.membership, auth.second_factor,
    auth.recovery_code, auth.api_key_secret to docket_writer;
grant select, insert, update on auth.api_key_use to docket_writer, docket_reader;
grant select on auth.api_key_secret to docket_reader;
grant select (id, tenant, user_id, started_at, last_used_at, expires_at) on auth.session to docket_reader;

-- Row security in `auth`. Who logs in has no tenant yet, and a secret is found by its hash alone: such statements say so, with
-- `docket.door`, and see all rows; others see their tenant's, and without one none.
do $$
declare
    name text;
begin
    foreach name in array array['account', 'secret', 'signing_key', 'mailed_token', 'session', 'refresh_token', 'membership',
                                'second_factor', 'recovery_code', 'api_key_secret', 'api_key_use'] loop
        execute format('alter table auth.%I enable row level security', name);
        execute format('alter table auth.%I force row level security', name);
    end loop;
    -- Of the installation, not of a tenant.
    foreach name in array array['secret', 'signing_key'] loop
        execute format('create policy installation on auth.%I using (true) with check (true)', name);
    end loop;
    foreach name in array array['account', 'mailed_token', 'refresh_token', 'membership', 'second_factor', 'recovery_code'] loop
        execute format('create policy door on auth.%I using (current_setting(''docket.door'', true) = ''identity'')', name);
    end loop;
    foreach name in array array['session', 'api_key_secret', 'api_key_use'] loop
        execute format('create policy tenant on auth.%I using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid '
                       'or current_setting(''docket.door'', true) = ''identity'')', name);
    end loop;
end $$;
