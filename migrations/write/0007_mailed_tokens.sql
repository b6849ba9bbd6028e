-- Tokens that were mailed, by their hash: whoever brings one shows that the mail reached them. They are made when a mail is sent, so
-- that none stands on the log, and one of several mails about the same thing is as good as another until one was used.
create table auth.mailed_token (
    hash       bytea primary key check (octet_length(hash) = 32),
    purpose    text not null,
    user_id    uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index mailed_token_user on auth.mailed_token (user_id, purpose);
create index mailed_token_expiry on auth.mailed_token (expires_at);

grant select, delete on auth.mailed_token to docket_writer;
grant usage on schema auth to docket_projector;
grant insert on auth.mailed_token to docket_projector;
