-- PostgreSQL's image runs this once, when it makes its cluster. The services log in as a user without rights of its own who may take
-- on the platform's three roles and never the owner's: row security binds whatever they do.
\getenv password DOCKET_SERVICE_PASSWORD
create role docket_writer nologin;
create role docket_projector nologin;
create role docket_reader nologin;
create role docket_service login noinherit password :'password' in role docket_writer, docket_projector, docket_reader;
