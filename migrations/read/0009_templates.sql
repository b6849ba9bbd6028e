-- Templates of requests, in the projection `directory`: a row per version. Retiring a template retires all of them.
create table read.template_v1 (
    id         uuid not null,
    version    bigint not null,
    tenant     uuid not null,
    name       text not null,
    shard      smallint not null,
    request    text not null,                       -- JSON, with `{{value}}` where values go
    "values"   text,                                -- the JSON Schema that the values satisfy; null: any will do
    set_by     uuid not null,
    set_at     timestamptz not null,
    retired_at timestamptz,                         -- null: it can be used
    primary key (id, version)
);
create index template_v1_name on read.template_v1 (tenant, name, version);

do $$
declare
    place text;
begin
    for place in select distinct home from read.generation where projection = 'directory' union select 'read' loop
        if place <> 'read' then
            execute format('create table %I.template_v1 (like read.template_v1 including all)', place);
        end if;
        execute format('grant select, insert, update, delete, truncate on %I.template_v1 to docket_projector', place);
        execute format('grant select on %I.template_v1 to docket_reader', place);
        execute format('alter table %I.template_v1 enable row level security', place);
        execute format('alter table %I.template_v1 force row level security', place);
        execute format('create policy projector on %I.template_v1 to docket_projector using (true) with check (true)', place);
        execute format('create policy tenant on %I.template_v1 for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', place);
    end loop;
    place := coalesce((select home from read.generation where projection = 'directory' and state = 'live'), 'read');
    execute format('create view read.template with (security_invoker = true) as select * from %I.template_v1', place);
    grant select on read.template to docket_reader, docket_projector;

    -- From which template a consultation was made.
    for place in select distinct home from read.generation where projection = 'consultation' union select 'read' loop
        execute format('alter table %I.consultation_v1 add column template_name text, add column template_version bigint', place);
    end loop;
    select home into place from read.generation where projection = 'consultation' and state = 'live';
    execute format('create or replace view read.consultation with (security_invoker = true) as select * from %I.consultation_v1', place);
end $$;
update read.generation set tables = tables || array['template_v1'] where projection = 'directory';
