-- What a consultation rests on, what rests on it, and when what reviewers open before they vote is shown with their votes.
-- A row for each article and entity that a consultation cites.
create table read.consultation_cited_v1 (
    consultation_id uuid not null,
    item            uuid not null,
    tenant          uuid not null,
    shard           smallint not null,
    requested_at    timestamptz not null,
    primary key (consultation_id, item)
);
create index consultation_cited_v1_item on read.consultation_cited_v1 (tenant, item, requested_at desc, consultation_id desc);

do $$
declare
    place text;
begin
    for place in select distinct home from read.generation where projection = 'consultation' union select 'read' loop
        execute format('alter table %I.consultation_v1
            add column cites text                           -- JSON: articles and entities; null: none', place);
        if place <> 'read' then
            execute format('create table %I.consultation_cited_v1 (like read.consultation_cited_v1 including all)', place);
        end if;
        execute format('grant select, insert, update, delete, truncate on %I.consultation_cited_v1 to docket_projector', place);
        execute format('grant select on %I.consultation_cited_v1 to docket_reader', place);
        execute format('alter table %I.consultation_cited_v1 enable row level security', place);
        execute format('alter table %I.consultation_cited_v1 force row level security', place);
        execute format('create policy projector on %I.consultation_cited_v1 to docket_projector using (true) with check (true)', place);
        execute format('create policy tenant on %I.consultation_cited_v1 for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', place);
    end loop;
    select home into place from read.generation where projection = 'consultation' and state = 'live';
    execute format('create or replace view read.consultation with (security_invoker = true) as select * from %I.consultation_v1', place);
    execute format('create view read.consultation_cited with (security_invoker = true) as select * from %I.consultation_cited_v1', place);
    grant select on read.consultation_cited to docket_reader, docket_projector;

    -- What was done while a consultation was considered is found by it.
    for place in select distinct home from read.generation where projection = 'engagement' union select 'read' loop
        execute format('create index on %I.engagement_v1 (consultation_id, user_id) where consultation_id is not null', place);
    end loop;
end $$;

-- In the projection `directory`: a row for each time that an organisation shows it, from its beginning to its end.
create table read.reading_period_v1 (
    tenant      uuid not null,
    version     bigint not null,                    -- of the organisation's stream, at which it began
    shard       smallint not null,
    shown_from  timestamptz not null,
    shown_until timestamptz,                        -- null: it is shown still
    primary key (tenant, version)
);

do $$
declare
    place text;
begin
    for place in select distinct home from read.generation where projection = 'directory' union select 'read' loop
        if place <> 'read' then
            execute format('create table %I.reading_period_v1 (like read.reading_period_v1 including all)', place);
        end if;
        execute format('grant select, insert, update, delete, truncate on %I.reading_period_v1 to docket_projector', place);
        execute format('grant select on %I.reading_period_v1 to docket_reader', place);
        execute format('alter table %I.reading_period_v1 enable row level security', place);
        execute format('alter table %I.reading_period_v1 force row level security', place);
        execute format('create policy projector on %I.reading_period_v1 to docket_projector using (true) with check (true)', place);
        execute format('create policy tenant on %I.reading_period_v1 for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', place);
    end loop;
    place := coalesce((select home from read.generation where projection = 'directory' and state = 'live'), 'read');
    execute format('create view read.reading_period with (security_invoker = true) as select * from %I.reading_period_v1', place);
    grant select on read.reading_period to docket_reader, docket_projector;
end $$;
update read.generation set tables = tables || array['reading_period_v1'] where projection = 'directory';
update read.generation set tables = tables || array['consultation_cited_v1'] where projection = 'consultation';
