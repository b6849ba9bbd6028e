-- Notices: who is to be told of what by mail, and when the next letter may go to whom.

-- One event that concerns one user. It names both and holds nothing of either: what a letter says is read when it is written.
create table react.notice (
    event_id   uuid not null,
    user_id    uuid not null,
    id         uuid not null unique,                -- the mail's id too, where it is a letter of its own
    kind       text not null,
    tenant     uuid not null,
    stream_id  uuid not null,                       -- of the event
    category   smallint not null,
    urgent     boolean not null,
    state      text not null default 'pending' check (state in ('pending', 'done', 'dead')),
    noted_at   timestamptz not null default now(),
    attempts   integer not null default 0,          -- of the letter
    letter     uuid,                                -- the letter that tells it; null: none yet
    outcome    text,                                -- by whom it was taken, or why it was not told
    settled_at timestamptz,
    primary key (event_id, user_id)
);
create index notice_pending on react.notice (user_id, noted_at) where state = 'pending';
create index notice_dead on react.notice (settled_at) where state = 'dead';
create index notice_done on react.notice (settled_at) where state = 'done';

-- Somebody who is written to: a row while something is pending, and until the pause after the last letter is over. Whoever holds the
-- claim writes, and nobody else does until `due_at`. Noting locks the row after the notices are written, and settling before it looks
-- for more: none is overlooked.
create table react.reader (
    user_id  uuid primary key,
    due_at   timestamptz not null default now(),    -- while somebody has the claim: when others may take it
    rests    timestamptz not null default '-infinity', -- no letter before then
    claim    uuid,
    letter   uuid,                                  -- the letter under way: what it tells is fixed
    attempts integer not null default 0
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index reader_due on react.reader (due_at);

grant select, insert, update, delete on react.notice, react.reader to docket_projector;
do $$
declare
    name text;
begin
    foreach name in array array['notice', 'reader'] loop
        execute format('alter table react.%I enable row level security', name);
        execute format('alter table react.%I force row level security', name);
        execute format('create policy projector on react.%I to docket_projector using (true) with check (true)', name);
    end loop;
end $$;
