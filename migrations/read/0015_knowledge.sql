-- The projection `knowledge`: entities and relationships, each row owned by its own stream. A relationship keeps the ends that it was added
-- with: it may come before them, and where an entity was merged into another, reads go through `merged_into`.

-- Likeness of words. Where the extension is there already, it stays where it is.
create extension if not exists pg_trgm with schema read;

create table read.entity_v1 (
    id          uuid primary key,
    tenant      uuid not null,
    shard       smallint not null,
    version     bigint not null,
    type        text not null,
    name        text not null,
    aliases     text[] not null,
    properties  text not null,                      -- JSON
    confidence  double precision not null,
    source      text,
    external_id text,
    added_at    timestamptz not null,
    updated_at  timestamptz not null,
    merged_into uuid,                               -- the entity that stands for it
    retracted   text,                               -- why; null: it stands
    words       tsvector not null,                  -- of name, aliases and external id, with `tenant:…`
    letters     text not null                       -- of name and aliases, in lower case: what is found by likeness
);
create index entity_v1_merged on read.entity_v1 (merged_into) where merged_into is not null;
create index entity_v1_prefix on read.entity_v1 (tenant, lower(name) text_pattern_ops);
create index entity_v1_words on read.entity_v1 using gin (words);
do $$
begin
    execute format('create index entity_v1_letters on read.entity_v1 using gin (letters %s.gin_trgm_ops)',
                   (select extnamespace::regnamespace from pg_extension where extname = 'pg_trgm'));
end $$;

create table read.relationship_v1 (
    id         uuid primary key,
    tenant     uuid not null,
    shard      smallint not null,
    version    bigint not null,
    source_id  uuid not null,
    type       text not null,
    target_id  uuid not null,
    properties text not null,                       -- JSON
    confidence double precision not null,
    source     text,
    added_at   timestamptz not null,
    updated_at timestamptz not null,
    retracted  text                                 -- why; null: it stands
);
create index relationship_v1_out on read.relationship_v1 (source_id, type, id) include (target_id, confidence) where retracted is null;
create index relationship_v1_in on read.relationship_v1 (target_id, type, id) include (source_id, confidence) where retracted is null;

create function read.entity_words(tenant uuid, name text, aliases text[], external_id text) returns tsvector
language sql immutable parallel safe set search_path = ''
as $$
    select pg_catalog.to_tsvector('simple', pg_catalog.concat_ws(' ', name, pg_catalog.array_to_string(aliases, ' '), external_id))
        || pg_catalog.array_to_tsvector(array['tenant:' || tenant])
$$;

do $$
declare
    name text;
begin
    foreach name in array array['entity', 'relationship'] loop
        execute format('create view read.%I with (security_invoker = true) as select * from read.%I', name, name || '_v1');
        execute format('grant select on read.%I to docket_reader, docket_projector', name);
        execute format('grant select, insert, update, delete, truncate on read.%I to docket_projector', name || '_v1');
        execute format('grant select on read.%I to docket_reader', name || '_v1');
        execute format('alter table read.%I enable row level security', name || '_v1');
        execute format('alter table read.%I force row level security', name || '_v1');
        execute format('create policy projector on read.%I to docket_projector using (true) with check (true)', name || '_v1');
        execute format('create policy tenant on read.%I for select to docket_reader '
                       'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', name || '_v1');
    end loop;
end $$;

-- Entities of a tenant that a text finds, the best first: by the beginning of the name, by words of name and aliases, and by likeness. What
-- was merged away is found as what it was merged into by whoever reads the rows. It runs with the projector's rights, and tells ids of the
-- tenant of the transaction alone: see `read.find_consultations`.
do $create$
begin
execute replace($function$
create function read.find_entities(p_tenant uuid, p_text text, p_type text, p_limit bigint)
returns table (id uuid, rank real)
language plpgsql stable security definer rows 20 set search_path = '' set jit = off set max_parallel_workers_per_gather = 0
set plan_cache_mode = force_custom_plan
as $$
declare
    wanted tsquery;
    asked text := lower(p_text);
    pattern text := replace(replace(replace(lower(p_text), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
    if p_tenant is distinct from nullif(current_setting('docket.tenant', true), '')::uuid then
        raise insufficient_privilege using message = 'a tenant finds its own entities';
    end if;
    wanted := regexp_replace(
        regexp_replace(websearch_to_tsquery('simple', p_text)::text, '''([^'']|'''')*''', '\&:*', 'g'),
        '''([^'']{1,2})'':\*', '''\1''', 'g')::tsquery;
    wanted := case when numnode(wanted) > 0 then format('''tenant:%s''', p_tenant)::tsquery && wanted end;
    return query
        with found as (
            (select e.id from read.entity e
             where e.tenant = p_tenant and lower(e.name) like pattern and (p_type is null or e.type = p_type)
             order by lower(e.name), e.id limit 200)
            union
            (select e.id from read.entity e
             where wanted is not null and e.words @@ wanted and e.tenant = p_tenant and (p_type is null or e.type = p_type) limit 500)
            union
            (select e.id from read.entity e
             where length(asked) >= 3 and e.letters operator("trgm".%>) asked and e.tenant = p_tenant and (p_type is null or e.type = p_type)
             limit 500)
        )
        select e.id,
               (case when lower(e.name) = asked then 4 when lower(e.name) like pattern then 2 else 0 end
                + coalesce(ts_rank(e.words, wanted), 0) + "trgm".word_similarity(asked, e.letters))::real as rank
        from found f join read.entity e on e.id = f.id
        where e.retracted is null
        order by 2 desc, lower(e.name), e.id
        limit p_limit;
end $$
$function$, '"trgm".', (select extnamespace::regnamespace || '.' from pg_extension where extname = 'pg_trgm'));
end $create$;

do $$
begin
    revoke all on function read.find_entities(uuid, text, text, bigint) from public;
    grant execute on function read.find_entities(uuid, text, text, bigint) to docket_reader;
    grant create on schema read to docket_projector;
    alter function read.find_entities(uuid, text, text, bigint) owner to docket_projector;
    revoke create on schema read from docket_projector;
end $$;
