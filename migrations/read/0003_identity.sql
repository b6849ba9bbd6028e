-- The projection `identity`: who belongs to which organisation. A user's row comes from the user's stream and a membership from the
-- organisation's; they are joined on read.

create table read.user_v1 (
    user_id       uuid primary key,
    shard         smallint not null,
    name          text,                             -- null: erased
    email         text,                             -- null: erased
    registered_at timestamptz not null
);

create table read.organisation_v1 (
    id         uuid primary key,
    tenant     uuid not null,
    shard      smallint not null,
    name       text not null,
    created_at timestamptz not null
);

create table read.member_v1 (
    tenant  uuid not null,
    user_id uuid not null,
    shard   smallint not null,
    role    text not null check (role in ('admin', 'reviewer', 'requester', 'analyst')),
    since   timestamptz not null,
    primary key (tenant, user_id)
);
create index member_v1_user on read.member_v1 (user_id);

create view read.user with (security_invoker = true) as select * from read.user_v1;
create view read.organisation with (security_invoker = true) as select * from read.organisation_v1;
create view read.member with (security_invoker = true) as select * from read.member_v1;

do $$
declare
    name text;
begin
    foreach name in array array['user_v1', 'organisation_v1', 'member_v1'] loop
        execute format('grant select, insert, update, delete, truncate on read.%I to docket_projector', name);
        execute format('grant select on read.%I to docket_reader', name);
        execute format('alter table read.%I enable row level security', name);
        execute format('alter table read.%I force row level security', name);
        execute format('create policy projector on read.%I to docket_projector using (true) with check (true)', name);
    end loop;
    foreach name in array array['organisation_v1', 'member_v1'] loop
        execute format('create policy tenant on read.%I for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', name);
    end loop;
end $$;
-- A user belongs to no tenant: visible to those whose organisation the user is a member of (the membership's own policy applies).
create policy tenant on read.user_v1 for select to docket_reader
    using (exists (select 1 from read.member_v1 m where m.user_id = user_v1.user_id));
grant select on read.user, read.organisation, read.member to docket_reader, docket_projector;
