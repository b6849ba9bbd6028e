-- Who asks too much, and who tries passwords. Nothing here is worth keeping for long.

-- Rate limits, shared by all processes: a client's whole quota is there again at `full_at`, and nothing of it is left a minute before
-- that. `granted` is what the last statement took. A crash of the server forgets it, which costs nobody anything.
create unlogged table auth.rate_limit (
    id      bytea primary key check (octet_length(id) = 16),
    full_at timestamptz not null,
    granted integer not null
) with (fillfactor = 50);

-- Wrong passwords for one account from one address, both as keyed hashes; an empty place counts for all addresses together. `known_until`:
-- somebody who knew the password came from there.
create table auth.login_attempt (
    account       bytea not null,
    place         bytea not null,
    failures      integer not null default 0,
    counted_until timestamptz not null default now(),
    blocked_until timestamptz,
    known_until   timestamptz,
    noted_at      timestamptz,
    primary key (account, place)
);

grant select, insert, update on auth.rate_limit to docket_writer, docket_reader;
grant delete on auth.rate_limit to docket_writer;
grant select, insert, update, delete on auth.login_attempt to docket_writer;

alter table auth.rate_limit enable row level security;
alter table auth.rate_limit force row level security;
create policy installation on auth.rate_limit using (true) with check (true);
alter table auth.login_attempt enable row level security;
alter table auth.login_attempt force row level security;
create policy door on auth.login_attempt using (current_setting('docket.door', true) = 'identity');
