-- A consultation as it stood: its events up to an instant, and the keys that their personal fields are sealed under. The readers see one
-- stream of the tenant that the transaction is of, never the journal nor the vault (ADR 0017).

create function read.consultation_events(p_tenant uuid, p_id uuid, p_until timestamptz)
returns table (version bigint, "time" timestamptz, event_type text, data text)
language sql stable security definer set search_path = ''
as $$
    select j.stream_version, j.time, j.event_type, j.data
    from write.journal j
    where j.stream_id = p_id and j.tenant = p_tenant and j.time <= p_until
      and j.category = (select code from write.category where name = 'consultation')
      and p_tenant = nullif(current_setting('docket.tenant', true), '')::uuid
    order by j.stream_version
$$;

-- Of these keys those that stand in the stream. One that was destroyed is not there: what was sealed under it is erased.
create function read.consultation_keys(p_tenant uuid, p_id uuid, p_keys uuid[])
returns table (id uuid, secret bytea)
language sql stable security definer set search_path = ''
as $$
    select k.id, k.secret
    from vault.data_key k
    where k.id = any(p_keys)
      and p_tenant = nullif(current_setting('docket.tenant', true), '')::uuid
      and exists (select from write.journal j
                  where j.stream_id = p_id and j.tenant = p_tenant and position(k.id::text in j.data) > 0)
$$;

revoke all on function read.consultation_events(uuid, uuid, timestamptz), read.consultation_keys(uuid, uuid, uuid[]) from public;
grant execute on function read.consultation_events(uuid, uuid, timestamptz), read.consultation_keys(uuid, uuid, uuid[]) to docket_reader;
