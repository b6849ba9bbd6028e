-- The log in Kafka: what the relay has published, and what stands in the topics that no relay wrote.

-- Per shard: everything up to `sequence` was acknowledged by Kafka. Moved by compare-and-set, and only over contiguous
-- acknowledgements; lowered when the topic has less. `halted` says why the relay publishes nothing of the shard.
create table write.published (
    category   smallint not null,
    shard      smallint not null,
    sequence   bigint not null default 0,
    halted     text,
    moved_at   timestamptz,
    checked_at timestamptz,                          -- when the topic's end was last compared with the journal
    primary key (category, shard)
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Messages that readers refused: not written by a relay of this installation. Kept so that `docket status` can tell.
create table write.foreign_message (
    category   smallint not null,
    shard      smallint not null,
    log_offset bigint not null,
    reason     text not null,
    seen_at    timestamptz not null default now(),
    primary key (category, shard, log_offset)
);

-- The key under which relays mark their messages, so that readers know them. It belongs to the installation.
create table write.log_key (
    only_row boolean primary key default true check (only_row),
    secret   bytea not null check (octet_length(secret) = 32)
);
insert into write.log_key (secret)
    select decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

grant select, insert, update on write.published to docket_writer;
grant select on write.log_key to docket_writer, docket_projector;
grant select on write.published to docket_projector;
grant select, insert on write.foreign_message to docket_projector, docket_writer;
