-- How somebody wants to be told by mail, in the projection `directory`. No event of before says so: nothing need be rebuilt.
do $$
declare
    place text;
begin
    for place in select distinct home from read.generation where projection = 'directory' union select 'read' loop
        execute format('alter table %I.account_v1 add column notifications text', place);
    end loop;
    place := coalesce((select home from read.generation where projection = 'directory' and state = 'live'), 'read');
    execute format('create or replace view read.account with (security_invoker = true) as select * from %I.account_v1', place);
end $$;
comment on column read.account_v1.notifications is 'JSON; null: nothing was said, and the default counts';
