-- The roles of DESIGN: each role of the platform gets what it needs and nothing more. None owns a table, none is a superuser.
-- They are made here unless the operator (or the embedded cluster) made them before.
do $$
declare
    name text;
begin
    foreach name in array array['docket_writer', 'docket_projector', 'docket_reader'] loop
        if not exists (select 1 from pg_roles where rolname = name) then
            begin
                execute format('create role %I nologin', name);
            exception when duplicate_object or unique_violation then
                null; -- another database of this server was migrated at the same time
            end;
        end if;
        if not pg_has_role(current_user, name, 'member') then
            execute format('grant %I to current_user', name);
        end if;
    end loop;
end $$;

grant usage on schema write, vault, auth to docket_writer;
grant select, insert on write.journal to docket_writer;
grant select, insert, update, delete on write.idempotency, write.claim, write.deadline, write.snapshot, write.member, write.lease
    to docket_writer;
grant select, update on write.shard to docket_writer;
grant select on write.installation, write.category to docket_writer;
grant select, insert on vault.data_key to docket_writer;
grant select, insert, update on auth.account, auth.secret, auth.signing_key to docket_writer;

grant usage on schema write, vault to docket_projector;
grant select on write.installation, write.category, write.journal, write.shard to docket_projector;
grant select, insert, update, delete on write.member, write.lease to docket_projector;
grant select on vault.data_key to docket_projector;

grant usage on schema write, auth to docket_reader;
grant select on write.installation, write.category to docket_reader;
grant select (kid, public_der, created_at, retires_at) on auth.signing_key to docket_reader;
