-- Endpoints of webhooks, in the projection `directory`. How their deliveries do is not derived from the log, and lies in `react`.
create table read.webhook_endpoint_v1 (
    id               uuid primary key,
    tenant           uuid not null,
    shard            smallint not null,
    url              text,                          -- null: erased
    description      text,
    event_types      text[] not null,
    format           text not null,
    template         text,                          -- JSON
    disabled         text,                          -- why; null: it is on
    failing_since    timestamptz,                   -- where that is why
    set_by           uuid not null,
    created_at       timestamptz not null,
    set_at           timestamptz not null,
    old_secret_until timestamptz
);
create index webhook_endpoint_v1_tenant on read.webhook_endpoint_v1 (tenant, created_at, id);

do $$
declare
    place text;
begin
    for place in select distinct home from read.generation where projection = 'directory' union select 'read' loop
        if place <> 'read' then
            execute format('create table %I.webhook_endpoint_v1 (like read.webhook_endpoint_v1 including all)', place);
        end if;
        execute format('grant select, insert, update, delete, truncate on %I.webhook_endpoint_v1 to docket_projector', place);
        execute format('grant select on %I.webhook_endpoint_v1 to docket_reader', place);
        execute format('alter table %I.webhook_endpoint_v1 enable row level security', place);
        execute format('alter table %I.webhook_endpoint_v1 force row level security', place);
        execute format('create policy projector on %I.webhook_endpoint_v1 to docket_projector using (true) with check (true)', place);
        execute format('create policy tenant on %I.webhook_endpoint_v1 for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', place);
    end loop;
    place := coalesce((select home from read.generation where projection = 'directory' and state = 'live'), 'read');
    execute format('create view read.webhook_endpoint with (security_invoker = true) as select * from %I.webhook_endpoint_v1', place);
    grant select on read.webhook_endpoint to docket_reader, docket_projector;
end $$;
update read.generation set tables = tables || array['webhook_endpoint_v1'] where projection = 'directory';
