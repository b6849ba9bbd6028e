-- How long the receipt of a consultation's outcome holds. Every generation gets it, wherever it lives.
do $$
declare
    place text;
begin
    for place in select distinct home from read.generation where projection = 'consultation' union select 'read' loop
        execute format('alter table %I.consultation_v1
            add column receipt_minutes integer              -- null: as long as usual', place);
    end loop;
    select home into place from read.generation where projection = 'consultation' and state = 'live';
    execute format('create or replace view read.consultation with (security_invoker = true) as select * from %I.consultation_v1', place);
end $$;
