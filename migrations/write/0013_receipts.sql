-- The keys that sign receipts of outcomes: a family of their own, apart from those of access tokens. None ever ends, for what it signed must
-- stay verifiable. Whoever shows an outcome signs its receipt, so that all who serve read the private halves (ADR 0022).
create table auth.receipt_key (
    kid         text primary key,
    public_der  bytea not null,
    private_der bytea not null,
    created_at  timestamptz not null default now(),
    signs_from  timestamptz not null default now()  -- it signs the receipts of outcomes from then on
);
alter table auth.receipt_key enable row level security;
alter table auth.receipt_key force row level security;
-- Of the installation, not of a tenant.
create policy installation on auth.receipt_key using (true) with check (true);
grant usage on schema auth to docket_projector;
grant select on auth.receipt_key to docket_reader, docket_projector;
grant select, insert on auth.receipt_key to docket_writer;
