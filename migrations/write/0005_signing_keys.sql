-- When a key begins to sign. A new key is published before, so that whoever verifies knows it by then.
alter table auth.signing_key add column signs_from timestamptz not null default now();
update auth.signing_key set signs_from = created_at;

-- The rotation removes keys that verify nothing any more.
grant delete on auth.signing_key to docket_writer;
