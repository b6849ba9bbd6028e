-- The projection `directory`: groups, invitations, and what people and software come in with.

-- A user's own standing. `sessions_ended` is the version of the user's stream at which sessions were last ended all at once, and
-- `session_kept` the one that went on: a session whose login had been checked before that is over, without an event of its own.
create table read.account_v1 (
    user_id          uuid primary key,
    shard            smallint not null,
    verified_at      timestamptz,
    second_factor_at timestamptz,                   -- null: the password is enough
    sessions_ended   bigint not null default 0,
    session_kept     uuid
);

create table read.session_v1 (
    id          uuid primary key,
    tenant      uuid not null,
    shard       smallint not null,
    user_id     uuid not null,
    method      text not null check (method in ('password', 'password_and_second_factor', 'invitation', 'switch')),
    credentials bigint not null,
    started_at  timestamptz not null,
    expires_at  timestamptz not null,
    new_place   boolean not null,
    address     text,                               -- null: not known, or erased
    agent       text,                               -- null: likewise
    ended_at    timestamptz,
    end_reason  text check (end_reason in ('logged_out', 'revoked', 'refresh_token_reused'))
);
create index session_v1_owner on read.session_v1 (tenant, user_id, started_at desc, id desc);

create table read.api_key_v1 (
    id         uuid primary key,
    tenant     uuid not null,
    shard      smallint not null,
    name       text not null,
    scopes     text[] not null,
    created_by uuid not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    rotated_at timestamptz,
    old_until  timestamptz,                         -- until when the secret before the present one works
    revoked_at timestamptz
);
create index api_key_v1_newest on read.api_key_v1 (tenant, created_at desc, id desc);

create table read.group_v1 (
    tenant     uuid not null,
    group_id   uuid not null,
    shard      smallint not null,
    name       text not null,
    created_at timestamptz not null,
    primary key (tenant, group_id)
);

create table read.group_member_v1 (
    tenant   uuid not null,
    group_id uuid not null,
    user_id  uuid not null,
    shard    smallint not null,
    since    timestamptz not null,
    primary key (tenant, group_id, user_id)
);
create index group_member_v1_user on read.group_member_v1 (tenant, user_id);

-- Invitations that were neither accepted nor revoked: of the others no address is kept.
create table read.invitation_v1 (
    tenant        uuid not null,
    invitation_id uuid not null,
    shard         smallint not null,
    email         text,                             -- null: erased
    role          text not null check (role in ('admin', 'reviewer', 'requester', 'analyst')),
    invited_by    uuid,
    invited_at    timestamptz not null,
    expires_at    timestamptz not null,
    primary key (tenant, invitation_id)
);

-- The projection `audit`: a row per event of identity. Events of a user's stream belong to no tenant (the nil one); they are shown to
-- the organisations that the user belongs to, and to those that the user has left up to then, so the projection knows memberships of
-- its own, and names: who did something is told when they are long gone.
create table read.audit_v1 (
    event_id      uuid primary key,
    tenant        uuid not null,
    shard         smallint not null,
    kind          text not null,
    at            timestamptz not null,
    by_id         uuid,                             -- who did it; null: nobody who had come in
    session_id    uuid,                             -- from where: the session's own row tells
    address       text,                             -- where there was no session; null: not known, or erased
    user_id       uuid,                             -- whom or what it was done to
    key_id        uuid,
    group_id      uuid,
    invitation_id uuid,
    ended_session uuid
);
create index audit_v1_newest on read.audit_v1 (tenant, at desc, event_id desc);
create index audit_v1_user on read.audit_v1 (user_id, at desc, event_id desc)
    where tenant = '00000000-0000-0000-0000-000000000000';

create table read.audit_member_v1 (
    tenant  uuid not null,
    user_id uuid not null,
    shard   smallint not null,
    until   timestamptz,                            -- null: still a member
    primary key (tenant, user_id)
);
create index audit_member_v1_user on read.audit_member_v1 (user_id);

create table read.audit_person_v1 (
    user_id uuid primary key,
    shard   smallint not null,
    name    text                                    -- null: erased
);

create view read.account with (security_invoker = true) as select * from read.account_v1;
create view read.session with (security_invoker = true) as select * from read.session_v1;
create view read.api_key with (security_invoker = true) as select * from read.api_key_v1;
create view read.group with (security_invoker = true) as select * from read.group_v1;
create view read.group_member with (security_invoker = true) as select * from read.group_member_v1;
create view read.invitation with (security_invoker = true) as select * from read.invitation_v1;
create view read.audit with (security_invoker = true) as select * from read.audit_v1;
create view read.audit_member with (security_invoker = true) as select * from read.audit_member_v1;
create view read.audit_person with (security_invoker = true) as select * from read.audit_person_v1;

do $$
declare
    name text;
    tenants text[] := array['session', 'api_key', 'group', 'group_member', 'invitation', 'audit_member'];
begin
    foreach name in array tenants || array['account', 'audit', 'audit_person'] loop
        execute format('grant select, insert, update, delete, truncate on read.%I to docket_projector', name || '_v1');
        execute format('grant select on read.%I to docket_reader', name || '_v1');
        execute format('grant select on read.%I to docket_reader, docket_projector', name);
        execute format('alter table read.%I enable row level security', name || '_v1');
        execute format('alter table read.%I force row level security', name || '_v1');
        execute format('create policy projector on read.%I to docket_projector using (true) with check (true)', name || '_v1');
    end loop;
    foreach name in array tenants loop
        execute format('create policy tenant on read.%I for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', name || '_v1');
    end loop;
end $$;
-- A user's standing is shown to the user alone.
create policy own on read.account_v1 for select to docket_reader
    using (user_id = nullif(current_setting('docket.user', true), '')::uuid);
create policy tenant on read.audit_v1 for select to docket_reader
    using (tenant = nullif(current_setting('docket.tenant', true), '')::uuid
           and tenant <> '00000000-0000-0000-0000-000000000000');
-- The membership's own policy applies.
create policy member on read.audit_v1 for select to docket_reader
    using (tenant = '00000000-0000-0000-0000-000000000000'
           and exists (select 1 from read.audit_member_v1 m where m.user_id = audit_v1.user_id
                       and (m.until is null or audit_v1.at <= m.until)));
create policy member on read.audit_person_v1 for select to docket_reader
    using (exists (select 1 from read.audit_member_v1 m where m.user_id = audit_person_v1.user_id));

-- People see where they belong themselves, in whichever generation of `identity` is live. A transaction says who it is with
-- `docket.user`, and none does but one that shows somebody's own things.
do $$
declare
    home text;
begin
    for home in select g.home from read.generation g where g.projection = 'identity' union select 'read' loop
        if to_regclass(format('%I.member_v1', home)) is null or to_regclass(format('%I.organisation_v1', home)) is null then
            continue;
        end if;
        execute format('create policy own on %I.member_v1 for select to docket_reader '
                       'using (user_id = nullif(current_setting(''docket.user'', true), '''')::uuid)', home);
        execute format('create policy own on %1$I.organisation_v1 for select to docket_reader '
                       'using (exists (select 1 from %1$I.member_v1 m where m.tenant = organisation_v1.tenant and '
                       'm.user_id = nullif(current_setting(''docket.user'', true), '''')::uuid))', home);
    end loop;
end $$;

-- What is of the installation and of no tenant: numbers, times, names of tables.
do $$
declare
    name text;
begin
    foreach name in array array['checkpoint', 'change_trimmed', 'generation'] loop
        execute format('alter table read.%I enable row level security', name);
        execute format('alter table read.%I force row level security', name);
        execute format('create policy installation on read.%I using (true) with check (true)', name);
    end loop;
end $$;
