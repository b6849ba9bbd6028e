-- Who registered may log in once the address was shown to be theirs; accounts that an operator made are believed.
alter table auth.account add column verified boolean not null default true;
-- A registration that the journal refused leaves no account behind.
grant delete on auth.account to docket_writer;

-- The organisation that somebody who registered wants. It is made once the address was verified, and is no event before.
create table auth.wanted_organisation (
    user_id    uuid primary key,
    tenant     uuid not null,
    name       text not null,
    created_at timestamptz not null default now()
);
grant select, insert, update, delete on auth.wanted_organisation to docket_writer;
alter table auth.wanted_organisation enable row level security;
alter table auth.wanted_organisation force row level security;
create policy door on auth.wanted_organisation using (current_setting('docket.door', true) = 'identity');
