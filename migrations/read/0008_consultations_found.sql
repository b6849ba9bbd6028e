-- Consultations found: by their words and labels, and by whom they wait for. What a list is asked for goes through one function, because
-- PostgreSQL uses no index for words and labels where row security binds.

-- What a consultation is found by. Written once, with the request, beside the row that changes often: an index of words is dear to keep.
create table read.consultation_words_v1 (
    consultation_id uuid primary key,
    tenant          uuid not null,
    shard           smallint not null,
    words           tsvector not null               -- of title, body and external id, with `label:…` and `tenant:…`
);
create index consultation_words_v1_words on read.consultation_words_v1 using gin (words);
-- How often ten thousand words are there, not a thousand: of what is not counted the planner expects so many that it walks through the
-- newest consultations for it, all of them where the word is nowhere.
alter table read.consultation_words_v1 alter column words set statistics 1000;

-- Whom a pending consultation asks: `user:…`, `group:…`, `role:…`, or `everyone`. Nobody once it has ended.
create table read.consultation_asked_v1 (
    consultation_id uuid not null,
    who             text not null,
    tenant          uuid not null,
    shard           smallint not null,
    primary key (consultation_id, who)
);
create index consultation_asked_v1_who on read.consultation_asked_v1 (tenant, who, consultation_id);

-- The words of a consultation. PostgreSQL's `simple` configuration takes them as they are, whatever the language.
create function read.consultation_words(tenant uuid, title text, body text, external_id text, labels text[]) returns tsvector
language sql immutable parallel safe set search_path = ''
as $$
    select pg_catalog.to_tsvector('simple', pg_catalog.concat_ws(' ', title, body, external_id))
        || pg_catalog.array_to_tsvector(array['tenant:' || tenant] || array(select 'label:' || label from pg_catalog.unnest(labels) label))
$$;

do $$
declare
    place text;
    name text;
begin
    for place in select distinct home from read.generation where projection = 'consultation' union select 'read' loop
        foreach name in array array['consultation_words_v1', 'consultation_asked_v1'] loop
            if place <> 'read' then
                execute format('create table %I.%I (like read.%I including all)', place, name, name);
            end if;
            if place <> 'read' and name = 'consultation_words_v1' then
                execute format('alter table %I.%I alter column words set statistics 1000', place, name);
            end if;
            execute format('grant select, insert, update, delete, truncate on %I.%I to docket_projector', place, name);
            execute format('grant select on %I.%I to docket_reader', place, name);
            execute format('alter table %I.%I enable row level security', place, name);
            execute format('alter table %I.%I force row level security', place, name);
            execute format('create policy projector on %I.%I to docket_projector using (true) with check (true)', place, name);
            execute format('create policy tenant on %I.%I for select to docket_reader '
                           'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', place, name);
        end loop;
        execute format('insert into %1$I.consultation_words_v1 (consultation_id, tenant, shard, words)
            select id, tenant, shard, read.consultation_words(tenant, title, body, external_id, labels) from %1$I.consultation_v1', place);
        execute format('insert into %1$I.consultation_asked_v1 (consultation_id, who, tenant, shard)
            select c.id, w.who, c.tenant, c.shard
            from %1$I.consultation_v1 c, lateral (
                select ''user:'' || r.user_id from %1$I.consultation_reviewer_v1 r where r.consultation_id = c.id and r.answers
                union select ''group:'' || g from unnest(c.groups) g where not c.counts_seats
                union select ''role:'' || r from unnest(c.roles) r where not c.counts_seats
                union select ''everyone'' where c.everyone and not c.counts_seats
            ) w (who) where c.state = ''pending''', place);
        execute format('create index on %I.consultation_v1 (tenant, deadline, id)
            where state = ''pending'' and deadline is not null and clock_stopped_at is null', place);
        execute format('create index on %I.consultation_v1 (tenant, state, updated_at desc, id desc)', place);
        execute format('create index on %I.consultation_v1 (claimed_by) where claimed_by is not null', place);
    end loop;

    -- Whom a consultation asks is told by the rows above alone.
    drop view read.consultation;
    for place in select distinct home from read.generation where projection = 'consultation' union select 'read' loop
        execute format('alter table %I.consultation_v1 drop column everyone, drop column groups, drop column roles', place);
    end loop;
    select home into place from read.generation where projection = 'consultation' and state = 'live';
    foreach name in array array['consultation', 'consultation_words', 'consultation_asked'] loop
        execute format('create view read.%I with (security_invoker = true) as select * from %I.%I', name, place, name || '_v1');
        execute format('grant select on read.%I to docket_reader, docket_projector', name);
    end loop;
end $$;
update read.generation set tables = tables || array['consultation_words_v1', 'consultation_asked_v1'] where projection = 'consultation';

-- Which consultations of a tenant are asked for, in an order: at most `p_limit` ids behind a place. A condition that is null is none.
--
-- It runs with the projector's rights, whose policy is no condition, so that indexes of words can be used; it looks for the tenant that
-- it is told alone, and that must be the one of the transaction. It tells ids: the rows are read by whoever asks, under row security.
-- The statement is planned for the very values, because a frequent word wants another plan than a rare one; it is never compiled, nor done
-- by several workers, because it is short and there are many.
create function read.find_consultations(
    p_tenant uuid, p_words text, p_labels text[], p_states text[], p_external_id text, p_requested_by uuid,
    p_requested_after timestamptz, p_requested_before timestamptz, p_updated_after timestamptz, p_due_before timestamptz,
    p_reviewer uuid, p_inbox uuid, p_role text, p_priority smallint, p_unclaimed boolean,
    p_sort text, p_after_at timestamptz, p_after_id uuid, p_limit bigint
) returns table (id uuid)
language plpgsql stable security definer rows 20 set search_path = '' set jit = off set max_parallel_workers_per_gather = 0
as $$
declare
    wanted tsquery;
    asked text[];
    query text := 'select c.id from read.consultation c';
    place text;
    behind text;
begin
    if p_tenant is distinct from nullif(current_setting('docket.tenant', true), '')::uuid then
        raise insufficient_privilege using message = 'a tenant finds its own consultations';
    end if;
    if p_words is not null or cardinality(p_labels) > 0 then
        -- A word of three letters or more is found by its beginning.
        wanted := regexp_replace(
            regexp_replace(websearch_to_tsquery('simple', coalesce(p_words, ''))::text, '''([^'']|'''')*''', '\&:*', 'g'),
            '''([^'']{1,2})'':\*', '''\1''', 'g')::tsquery;
        if p_words is not null and numnode(wanted) = 0 then
            return;                                 -- words that are none are found nowhere
        end if;
        wanted := (select string_agg(format('''%s''', replace(replace(lexeme, '\', '\\'), '''', '''''')), ' & ')
                  from unnest('tenant:' || p_tenant || array(select 'label:' || label from unnest(p_labels) label)) lexeme)::tsquery && wanted;
        query := query || ' join read.consultation_words w on w.consultation_id = c.id and w.tenant = $1 and w.words @@ $2';
    end if;
    query := query || ' where c.tenant = $1';
    if cardinality(p_labels) > 0 then
        query := query || ' and c.labels @> $3';
    end if;
    -- Equality, where it can be: an index then gives the order too. The word itself, where a partial index wants it.
    if cardinality(p_states) = 1 then
        query := query || format(' and c.state = %L', p_states[1]);
    elsif cardinality(p_states) > 1 then
        query := query || ' and c.state = any($4)';
    end if;
    if p_external_id is not null then
        query := query || ' and c.external_id = $5';
    end if;
    if p_requested_by is not null then
        query := query || ' and c.requested_by = $6';
    end if;
    if p_requested_after is not null then
        query := query || ' and c.requested_at > $7';
    end if;
    if p_requested_before is not null then
        query := query || ' and c.requested_at < $8';
    end if;
    if p_updated_after is not null then
        query := query || ' and c.updated_at > $9';
    end if;
    if p_due_before is not null then
        query := query || ' and c.deadline < $10 and c.clock_stopped_at is null';
    end if;
    if p_reviewer is not null then
        query := query || ' and c.id in (
            select r.consultation_id from read.consultation_reviewer r where r.tenant = $1 and r.answers and r.user_id = $11
            union all select o.id from read.consultation o where o.tenant = $1 and o.claimed_by = $11)';
    end if;
    if p_inbox is not null then
        -- By name, by group, by role, or as anybody; but not what was delegated, what is one's own, what another has in hand where one
        -- answer is enough, and what one has voted on.
        asked := array['everyone', 'role:' || p_role, 'user:' || p_inbox]
            || array(select 'group:' || m.group_id from read.group_member m where m.tenant = p_tenant and m.user_id = p_inbox);
        query := query || ' and c.state = ''pending''
            and exists (select from read.consultation_asked a where a.consultation_id = c.id and a.tenant = $1 and a.who = any($12))
            and not (c.four_eyes and (c.requested_by = $13 or c.key_made_by is not distinct from $13))
            and (c.counts_seats or c.claimed_by is null or c.claimed_by = $13)
            and not exists (select from read.consultation_reviewer r where r.consultation_id = c.id and r.user_id = $13 and not r.answers)
            and not exists (select from read.consultation_vote v where v.consultation_id = c.id and v.voter = $13)';
    end if;
    if p_priority is not null then
        query := query || ' and c.priority >= $14';
    end if;
    if p_unclaimed then
        query := query || ' and c.claimed_by is null';
    end if;
    place := case p_sort when 'updated' then 'updated_at' when 'due' then 'deadline' else 'requested_at' end;
    behind := case p_sort when 'due' then '>' else '<' end;
    if p_sort = 'due' then
        query := query || ' and c.deadline is not null and c.clock_stopped_at is null';
    end if;
    if p_after_id is not null then
        query := query || format(' and (c.%I, c.id) %s ($15, $16)', place, behind);
    end if;
    query := query || format(' order by c.%I %s, c.id %2$s limit $17', place, case p_sort when 'due' then 'asc' else 'desc' end);
    return query execute query using
        p_tenant, wanted, p_labels, p_states, p_external_id, p_requested_by, p_requested_after, p_requested_before, p_updated_after,
        p_due_before, p_reviewer, asked, p_inbox, p_priority, p_after_at, p_after_id, p_limit;
end $$;

-- It is the projector's, and nobody's to call but the readers'.
do $$
declare
    signature text := 'read.find_consultations(uuid, text, text[], text[], text, uuid, timestamptz, timestamptz, timestamptz, timestamptz, '
        'uuid, uuid, text, smallint, boolean, text, timestamptz, uuid, bigint)';
begin
    execute format('revoke all on function %s from public', signature);
    execute format('grant execute on function %s to docket_reader', signature);
    -- To own it, the projector needs for a moment what it has not: to make things in the schema.
    grant create on schema read to docket_projector;
    execute format('alter function %s owner to docket_projector', signature);
    revoke create on schema read from docket_projector;
end $$;
