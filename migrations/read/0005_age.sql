-- The next event of every shard that a projection lacks, and since when the journal has had it: readers tell by it how old an answer
-- is. `projections` and `categories` belong together pairwise. It shows numbers and times, nobody's events.
create function read.lacking(projections text[], categories smallint[])
returns table (projection text, category smallint, shard smallint, sequence bigint, since timestamptz)
language sql stable security definer set search_path = ''
as $$
    select p.projection, s.category, s.shard, j.sequence, j.recorded_at
    from unnest(projections, categories) as p (projection, category)
    join write.shard s on s.category = p.category
    left join read.checkpoint c on c.projection = p.projection and c.category = s.category and c.shard = s.shard
    join write.journal j on j.category = s.category and j.shard = s.shard and j.sequence = coalesce(c.sequence, 0) + 1
    where s.sequence > coalesce(c.sequence, 0)
$$;
revoke all on function read.lacking(text[], smallint[]) from public;
grant execute on function read.lacking(text[], smallint[]) to docket_reader;
