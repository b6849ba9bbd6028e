-- The append: one round trip, a verdict per command.
--
-- Locks are taken class by class, each in sorted order: idempotency keys, claims, shards. After the shards are locked a new
-- statement, hence a new snapshot, reads the versions, so that nothing committed before the lock can be overlooked.
--
-- Verdicts: 0 appended, 1 the key has an answer already, 2 the version is another, 3 a claim is held by another stream.
-- The caller puts a stream and a key at most once into one batch.

create function write.append(
    c_tenant uuid[], c_category smallint[], c_shard smallint[], c_stream uuid[], c_expected bigint[], c_count integer[],
    c_meta text[], c_key uuid[], c_hash bytea[], c_status smallint[], c_deadline smallint[], c_due timestamptz[],
    e_command integer[], e_index integer[], e_id uuid[], e_type text[], e_time timestamptz[], e_data text[],
    k_command integer[], k_kind text[], k_value bytea[],
    s_command integer[], s_schema integer[], s_version bigint[], s_time timestamptz[], s_state text[],
    out o_verdict smallint[], out o_version bigint[], out o_sequence bigint[]
) language plpgsql as $$
declare
    answered integer[] := '{}';
    taken    integer[] := '{}';
    failed   integer[];
    new_kind  text[];
    new_value bytea[];
begin
    -- 1. Keys. Whoever inserts the row first decides; a racer waits here until the first has committed or failed.
    if exists (select 1 from unnest(c_key) as k (key) where key is not null) then
        with given as (
            select ord::integer as ord, key, hash, status, tenant, category, stream, expected + count as version
            from unnest(c_key, c_hash, c_status, c_tenant, c_category, c_stream, c_expected, c_count)
                 with ordinality as c (key, hash, status, tenant, category, stream, expected, count, ord)
            where key is not null
        ), kept as (
            insert into write.idempotency (id, tenant, request_hash, status, category, stream_id, version)
            select key, tenant, hash, status, category, stream, version from given order by key
            on conflict (id) do nothing
            returning id
        )
        select coalesce(array_agg(ord), '{}') into answered
        from given where not exists (select 1 from kept where kept.id = given.key);
    end if;

    -- 2. Claims, of the commands whose key was new.
    if cardinality(k_command) > 0 then
        with kept as (
            insert into write.claim (kind, value, category, stream_id)
            select kind, value, c_category[command], c_stream[command]
            from unnest(k_command, k_kind, k_value) as k (command, kind, value)
            where command <> all (answered)
            order by kind, value
            on conflict (kind, value) do nothing
            returning kind, value
        )
        select array_agg(kind), array_agg(value) into new_kind, new_value from kept;

        select coalesce(array_agg(distinct command), '{}') into taken
        from unnest(k_command, k_kind, k_value) as k (command, kind, value)
        join write.claim held using (kind, value)
        where held.stream_id <> c_stream[command];
    end if;

    -- 3. Shards.
    perform 1
    from write.shard s
    where (s.category, s.shard) in (select distinct category, shard from unnest(c_category, c_shard) as c (category, shard))
    order by s.category, s.shard
    for no key update;

    -- 4. Versions, sequences, events.
    with command as materialized (
        select ord::integer as ord, tenant, category, shard, stream, expected, count, meta,
               coalesce((select j.stream_version from write.journal j where j.stream_id = c.stream
                         order by j.stream_version desc limit 1), 0) as current
        from unnest(c_tenant, c_category, c_shard, c_stream, c_expected, c_count, c_meta)
             with ordinality as c (tenant, category, shard, stream, expected, count, meta, ord)
    ), judged as materialized (
        select *, case when ord = any (answered) then 1 when ord = any (taken) then 3
                       when current <> expected then 2 else 0 end as verdict
        from command
    ), placed as materialized (
        select j.ord, j.tenant, j.category, j.shard, j.stream, j.expected, j.count, j.meta,
               s.sequence + sum(j.count) over (partition by j.category, j.shard order by j.ord) - j.count as before
        from judged j join write.shard s on s.category = j.category and s.shard = j.shard
        where j.verdict = 0
    ), journalled as (
        insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type, data, meta)
        select p.category, p.shard, p.before + e.index, p.stream, p.expected + e.index, e.id, p.tenant, e.time, e.type, e.data, p.meta
        from unnest(e_command, e_index, e_id, e_type, e_time, e_data) as e (command, index, id, type, time, data)
        join placed p on p.ord = e.command
    ), advanced as (
        update write.shard s set sequence = s.sequence + n.events
        from (select category, shard, sum(count) as events from placed group by category, shard) n
        where s.category = n.category and s.shard = n.shard and n.events > 0
    )
    select array_agg(j.verdict order by j.ord),
           array_agg(case when j.verdict = 0 then j.expected + j.count else j.current end order by j.ord),
           array_agg(coalesce(p.before + j.count, 0) order by j.ord)
    into o_verdict, o_version, o_sequence
    from judged j left join placed p on p.ord = j.ord;

    -- 5. What commits with the survivors, and what the others must not leave behind.
    select array_agg(ord) into failed
    from unnest(o_verdict) with ordinality as v (verdict, ord) where verdict in (2, 3);
    if failed is not null then
        delete from write.idempotency i using unnest(failed) as f (ord)
        where i.id = c_key[ord];
        if new_kind is not null then
            delete from write.claim held
            using unnest(new_kind, new_value) as n (kind, value), unnest(k_command, k_kind, k_value) as k (command, kind, value)
            where held.kind = n.kind and held.value = n.value and k.kind = n.kind and k.value = n.value
              and k.command = any (failed);
        end if;
    end if;
    if 1 = any (c_deadline) then
        insert into write.deadline (stream_id, category, tenant, due_at)
        select stream, category, tenant, due
        from unnest(c_deadline, c_stream, c_category, c_tenant, c_due, o_verdict)
             as d (change, stream, category, tenant, due, verdict)
        where change = 1 and verdict = 0
        order by stream
        on conflict (stream_id) do update set due_at = excluded.due_at, claimed_until = null;
    end if;
    if 2 = any (c_deadline) then
        delete from write.deadline d using unnest(c_deadline, c_stream, o_verdict) as c (change, stream, verdict)
        where c.change = 2 and c.verdict = 0 and d.stream_id = c.stream;
    end if;
    if cardinality(s_command) > 0 then
        insert into write.snapshot (stream_id, schema, tenant, version, sequence, time, state)
        select c_stream[command], schema, c_tenant[command], version, o_sequence[command], time, state
        from unnest(s_command, s_schema, s_version, s_time, s_state) as s (command, schema, version, time, state)
        where o_verdict[command] = 0
        order by c_stream[command], schema
        on conflict (stream_id, schema) do update
            set version = excluded.version, sequence = excluded.sequence, time = excluded.time, state = excluded.state
            where excluded.version > write.snapshot.version;
    end if;
end $$;

-- The same for one command: fewer and smaller statements.
create function write.append_one(
    c_tenant uuid, c_category smallint, c_shard smallint, c_stream uuid, c_expected bigint, c_count integer,
    c_meta text, c_key uuid, c_hash bytea, c_status smallint, c_deadline smallint, c_due timestamptz,
    e_index integer[], e_id uuid[], e_type text[], e_time timestamptz[], e_data text[],
    k_kind text[], k_value bytea[],
    s_schema integer[], s_version bigint[], s_time timestamptz[], s_state text[],
    out o_verdict smallint, out o_version bigint, out o_sequence bigint
) language plpgsql as $$
declare
    written   integer := 0;
    new_kind  text[];
    new_value bytea[];
begin
    o_sequence := 0;
    if c_key is not null then
        insert into write.idempotency (id, tenant, request_hash, status, category, stream_id, version)
        values (c_key, c_tenant, c_hash, c_status, c_category, c_stream, c_expected + c_count)
        on conflict (id) do nothing;
        if not found then
            o_verdict := 1;
            o_version := 0;
            return;
        end if;
    end if;
    if cardinality(k_kind) > 0 then
        with kept as (
            insert into write.claim (kind, value, category, stream_id)
            select kind, value, c_category, c_stream from unnest(k_kind, k_value) as k (kind, value) order by kind, value
            on conflict (kind, value) do nothing
            returning kind, value
        )
        select array_agg(kind), array_agg(value) into new_kind, new_value from kept;
        if exists (select 1 from unnest(k_kind, k_value) as k (kind, value) join write.claim held using (kind, value)
                   where held.stream_id <> c_stream) then
            o_verdict := 3;
        end if;
    end if;

    -- Locks the shard and takes the sequences; given back below when nothing is written.
    update write.shard set sequence = sequence + c_count where category = c_category and shard = c_shard
    returning sequence into o_sequence;

    -- A new statement, hence a new snapshot: it sees every version committed before the lock. One event goes the shortest way.
    if o_verdict is null and c_count = 1 then
        insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type, data, meta)
        select c_category, c_shard, o_sequence, c_stream, c_expected + 1, e_id[1], c_tenant, e_time[1], e_type[1], e_data[1], c_meta
        where coalesce((select stream_version from write.journal where stream_id = c_stream
                        order by stream_version desc limit 1), 0) = c_expected;
        get diagnostics written = row_count;
    elsif o_verdict is null then
        insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type, data, meta)
        select c_category, c_shard, o_sequence - c_count + index, c_stream, c_expected + index, id, c_tenant, time, type, data, c_meta
        from unnest(e_index, e_id, e_type, e_time, e_data) as e (index, id, type, time, data)
        where coalesce((select stream_version from write.journal where stream_id = c_stream
                        order by stream_version desc limit 1), 0) = c_expected;
        get diagnostics written = row_count;
    end if;

    if o_verdict is not null or written <> c_count or c_count = 0 then
        o_version := coalesce((select stream_version from write.journal where stream_id = c_stream
                               order by stream_version desc limit 1), 0);
        if o_verdict is null and o_version <> c_expected then
            o_verdict := 2;
        elsif o_verdict is null and written <> c_count then
            raise exception 'append: % events given, % announced', written, c_count;
        end if;
    end if;
    if o_verdict is not null then
        update write.shard set sequence = sequence - c_count where category = c_category and shard = c_shard;
        delete from write.idempotency where id = c_key;
        if new_kind is not null then
            delete from write.claim held using unnest(new_kind, new_value) as n (kind, value)
            where held.kind = n.kind and held.value = n.value;
        end if;
        o_sequence := 0;
        return;
    end if;
    o_version := c_expected + c_count;
    o_verdict := 0;

    if c_deadline = 1 then
        insert into write.deadline (stream_id, category, tenant, due_at) values (c_stream, c_category, c_tenant, c_due)
        on conflict (stream_id) do update set due_at = excluded.due_at, claimed_until = null;
    elsif c_deadline = 2 then
        delete from write.deadline where stream_id = c_stream;
    end if;
    if cardinality(s_schema) > 0 then
        insert into write.snapshot (stream_id, schema, tenant, version, sequence, time, state)
        select c_stream, schema, c_tenant, version, o_sequence, time, state
        from unnest(s_schema, s_version, s_time, s_state) as s (schema, version, time, state)
        on conflict (stream_id, schema) do update
            set version = excluded.version, sequence = excluded.sequence, time = excluded.time, state = excluded.state
            where excluded.version > write.snapshot.version;
    end if;
end $$;
