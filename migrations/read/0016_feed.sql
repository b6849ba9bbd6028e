-- The projection `feed`: articles, the tree of topics, readers' preferences and saved articles. Each row is owned by its own stream, topics by
-- the one of their tenant.

create table read.article_v1 (
    id           uuid primary key,
    tenant       uuid not null,
    shard        smallint not null,
    version      bigint not null,
    title        text not null,
    summary      text not null,
    body         text not null,
    content_type text not null,
    quality      double precision not null,
    relevance    double precision not null,
    topics       text[] not null,
    entities     uuid[] not null,
    source_url   text,
    external_id  text,
    published_at timestamptz not null,
    added_at     timestamptz not null,
    updated_at   timestamptz not null,
    retracted    text,                              -- why; null: it stands
    words        tsvector not null                  -- of title, summary and body, with `tenant:…`
);
create index article_v1_newest on read.article_v1 (tenant, published_at desc, id desc) where retracted is null;
create index article_v1_words on read.article_v1 using gin (words);
create index article_v1_entities on read.article_v1 using gin (entities) where retracted is null;

create table read.topic_v1 (
    tenant uuid not null,
    topic  text not null,
    shard  smallint not null,
    name   text not null,
    parent text,
    primary key (tenant, topic)
);

create table read.preference_v1 (
    id      uuid primary key,
    tenant  uuid not null,
    shard   smallint not null,
    version bigint not null,
    user_id uuid not null,
    topics  text not null,                          -- JSON: how much, by topic
    set_at  timestamptz not null
);
create unique index preference_v1_reader on read.preference_v1 (tenant, user_id);

create table read.saved_v1 (
    id         uuid primary key,
    tenant     uuid not null,
    shard      smallint not null,
    version    bigint not null,
    user_id    uuid not null,
    article_id uuid not null,
    note       text,
    saved_at   timestamptz not null
);
create index saved_v1_reader on read.saved_v1 (tenant, user_id, saved_at desc, article_id desc);

-- What is found in an article: in its title, in its summary, in its body, and the less it weighs.
create function read.article_words(tenant uuid, title text, summary text, body text) returns tsvector
language sql immutable parallel safe set search_path = ''
as $$
    select pg_catalog.setweight(pg_catalog.to_tsvector('english', title), 'A')
        || pg_catalog.setweight(pg_catalog.to_tsvector('english', summary), 'B')
        || pg_catalog.setweight(pg_catalog.to_tsvector('english', body), 'D')
        || pg_catalog.array_to_tsvector(array['tenant:' || tenant])
$$;

do $$
declare
    name text;
begin
    foreach name in array array['article', 'topic', 'preference', 'saved'] loop
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

-- Articles of a tenant that a text finds, the best first, with what they say around the words that were found. Those stand between the
-- characters 1 and 2, which no text holds: `ts_headline` leaves the rest as it is, and whoever shows it as HTML has to escape it first. It runs
-- with the projector's rights, and tells articles of the tenant of the transaction alone: see `read.find_consultations`.
create function read.find_articles(p_tenant uuid, p_text text, p_topics text[], p_limit bigint, p_offset bigint)
returns table (id uuid, title_marked text, excerpt text)
language plpgsql stable security definer rows 20 set search_path = '' set jit = off set max_parallel_workers_per_gather = 0
set plan_cache_mode = force_custom_plan
as $$
declare
    wanted tsquery := websearch_to_tsquery('english', p_text);
    asked tsquery;
    marks constant text := 'StartSel="' || chr(1) || '", StopSel="' || chr(2) || '"';
begin
    if p_tenant is distinct from nullif(current_setting('docket.tenant', true), '')::uuid then
        raise insufficient_privilege using message = 'a tenant finds its own articles';
    end if;
    if numnode(wanted) = 0 then
        return;
    end if;
    asked := format('''tenant:%s''', p_tenant)::tsquery && wanted;
    return query
        with found as (
            select a.id, ts_rank_cd(a.words, wanted, 1) as rank, a.published_at
            from read.article a
            where a.words @@ asked and a.tenant = p_tenant and a.retracted is null and (p_topics is null or a.topics && p_topics)
            order by 2 desc, a.published_at desc, a.id desc
            limit p_limit offset p_offset
        )
        select f.id,
               ts_headline('english', a.title, wanted, 'HighlightAll=true, ' || marks),
               ts_headline('english', concat_ws(E'\n', nullif(a.summary, ''), nullif(a.body, '')), wanted,
                           'MaxFragments=2, MaxWords=30, MinWords=10, FragmentDelimiter=" … ", ' || marks)
        from found f join read.article a on a.id = f.id
        order by f.rank desc, f.published_at desc, f.id desc;
end $$;

-- Articles of a tenant that stand and are about any of these entities, the newest first; likewise.
create function read.articles_about(p_tenant uuid, p_entities uuid[], p_limit bigint)
returns table (id uuid)
language plpgsql stable security definer rows 20 set search_path = '' set jit = off set max_parallel_workers_per_gather = 0
set plan_cache_mode = force_custom_plan
as $$
begin
    if p_tenant is distinct from nullif(current_setting('docket.tenant', true), '')::uuid then
        raise insufficient_privilege using message = 'a tenant finds its own articles';
    end if;
    return query
        select a.id from read.article a
        where a.entities && p_entities and a.tenant = p_tenant and a.retracted is null
        order by a.published_at desc, a.id desc
        limit p_limit;
end $$;

do $$
declare
    name text;
begin
    grant create on schema read to docket_projector;
    foreach name in array array['find_articles(uuid, text, text[], bigint, bigint)', 'articles_about(uuid, uuid[], bigint)'] loop
        execute format('revoke all on function read.%s from public', name);
        execute format('grant execute on function read.%s to docket_reader', name);
        execute format('alter function read.%s owner to docket_projector', name);
    end loop;
    revoke create on schema read from docket_projector;
end $$;
