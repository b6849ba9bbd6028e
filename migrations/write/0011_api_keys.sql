-- A secret of an API key belongs to the event that made it: the creation, or a rotation. What ends it stands in the journal alone, so
-- that whatever happens between an event and its row, no secret outlives what the history says.
alter table auth.api_key_secret add column version bigint not null;
drop index auth.api_key_secret_key;
create unique index api_key_secret_key on auth.api_key_secret (key_id, version);

-- What ends secrets: all of a key's, or after a while those before a version. Like auth.revocation, it runs as its owner.
create view auth.api_key_end as
    select stream_id as key_id, stream_version as version,
           event_type = 'docket.identity.api_key_revoked.v1' as revoked,
           (data::jsonb ->> 'old_until')::timestamptz as old_until
    from write.journal
    where event_type in ('docket.identity.api_key_rotated.v1', 'docket.identity.api_key_revoked.v1');
grant select on auth.api_key_end to docket_writer, docket_reader;
