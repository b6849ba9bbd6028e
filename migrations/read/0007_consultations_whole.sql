-- Consultations whole: how they are decided, how far the work is, votes, and who is named to answer. What is added has the value that events
-- written before have, so that the rows there are need no rebuild. Every generation gets it, wherever it lives.

-- The last vote of each who voted.
create table read.consultation_vote_v1 (
    consultation_id uuid not null,
    voter           uuid not null,
    tenant          uuid not null,
    shard           smallint not null,
    version         bigint not null,
    by_name         text,                           -- null: erased
    at              timestamptz not null,
    decision        text,
    content         text,                           -- what else was answered; JSON
    comment         text,
    primary key (consultation_id, voter)
);

-- Who is named to answer, by now: reviewers, seats, whom escalations added, and whom others delegated to; and who delegated, and answers no
-- more even where everybody else may.
create table read.consultation_reviewer_v1 (
    consultation_id uuid not null,
    user_id         uuid not null,
    tenant          uuid not null,
    shard           smallint not null,
    answers         boolean not null,
    primary key (consultation_id, user_id)
);
create index consultation_reviewer_v1_user on read.consultation_reviewer_v1 (tenant, user_id, consultation_id) where answers;

do $$
declare
    place text;
    name text;
begin
    for place in select distinct home from read.generation where projection = 'consultation' union select 'read' loop
        execute format('alter table %I.consultation_v1
            add column proposed              text,                           -- the proposal of an edit, where it is private; JSON
            add column key_made_by           uuid,                           -- who made the API key that asked
            add column priority              smallint not null default 1,    -- 0 low, 1 normal, 2 high, 3 urgent
            add column labels                text[] not null default ''{}'',
            add column callback_url          text,
            add column supersedes            uuid,
            add column terms                 text,                           -- as the event has them, but for the subject; null: the usual ones
            add column answer_kind           text not null default ''approval'',
            add column four_eyes             boolean not null default true,
            add column groups                uuid[] not null default ''{}'',
            add column roles                 text[] not null default ''{}'',
            add column counts_seats          boolean not null default false, -- whether those alone answer who are named
            add column everyone              boolean not null default true,  -- whether every reviewer may answer: nobody is named
            add column subject               uuid,
            add column subject_name          text,                           -- null: nobody, or erased
            add column request_terms_version bigint not null default 1,
            add column added_reviewers       uuid[] not null default ''{}'',
            add column claimed_by            uuid,
            add column claimed_by_name       text,
            add column open_question_count   integer not null default 0,
            add column clock_stopped_at      timestamptz,
            add column content               text,                           -- what else was decided; JSON
            add column agreed                uuid[] not null default ''{}''', place);
        execute format('create index on %I.consultation_v1 (tenant, updated_at desc, id desc)', place);
        execute format('create index on %I.consultation_v1 (tenant, deadline, id) where deadline is not null', place);
        execute format('create index on %I.consultation_v1 (tenant, ended_at) where ended_at is not null', place);
        execute format('update %I.consultation_v1 set everyone = false where reviewers <> ''{}''', place);
        execute format('alter table %I.consultation_history_v1
            add column to_id uuid, add column to_name text, add column details text', place);
        foreach name in array array['consultation_vote_v1', 'consultation_reviewer_v1'] loop
            if place <> 'read' then
                execute format('create table %I.%I (like read.%I including all)', place, name, name);
            end if;
            execute format('grant select, insert, update, delete, truncate on %I.%I to docket_projector', place, name);
            execute format('grant select on %I.%I to docket_reader', place, name);
            execute format('alter table %I.%I enable row level security', place, name);
            execute format('alter table %I.%I force row level security', place, name);
            execute format('create policy projector on %I.%I to docket_projector using (true) with check (true)', place, name);
            execute format('create policy tenant on %I.%I for select to docket_reader '
                           'using (tenant = nullif(current_setting(''docket.tenant'', true), '''')::uuid)', place, name);
        end loop;
        execute format('insert into %I.consultation_vote_v1 (consultation_id, voter, tenant, shard, version, by_name, at, decision, comment)
            select consultation_id, by_id, tenant, shard, version, by_name, at, decision, comment
            from %I.consultation_history_v1 where kind = ''vote_cast'' and by_id is not null', place, place);
        execute format('insert into %I.consultation_reviewer_v1 (consultation_id, user_id, tenant, shard, answers)
            select id, reviewer, tenant, shard, true from %I.consultation_v1, unnest(reviewers) as reviewer', place, place);
    end loop;
    select home into place from read.generation where projection = 'consultation' and state = 'live';
    foreach name in array array['consultation', 'consultation_history'] loop
        execute format('create or replace view read.%I with (security_invoker = true) as select * from %I.%I', name, place, name || '_v1');
    end loop;
    foreach name in array array['consultation_vote', 'consultation_reviewer'] loop
        execute format('create view read.%I with (security_invoker = true) as select * from %I.%I', name, place, name || '_v1');
        execute format('grant select on read.%I to docket_reader, docket_projector', name);
    end loop;
end $$;
update read.generation set tables = tables || array['consultation_vote_v1', 'consultation_reviewer_v1'] where projection = 'consultation';
