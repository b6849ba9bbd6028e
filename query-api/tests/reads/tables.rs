//! Row security, table by table: a table that is new is among them by itself.

use docket_platform::db::DbRole;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use crate::support::World;

/// What is of the installation and tells nothing of any tenant.
const OF_THE_INSTALLATION: [&str; 7] = [
    "auth.rate_limit",
    "auth.receipt_key",
    "auth.secret",
    "auth.signing_key",
    "read.change_trimmed",
    "read.checkpoint",
    "read.generation",
];

const TENANT: Uuid = Uuid::from_u128(0xa);

async fn tables(world: &World) -> Vec<String> {
    let sql = "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('read', 'auth') and c.relkind in ('r', 'p') order by 1";
    sqlx::query_scalar(sql).fetch_all(&world.owner).await.unwrap()
}

#[tokio::test]
async fn row_security_is_forced_on_every_table_of_read_and_auth() {
    let world = World::new().await;
    assert!(tables(&world).await.len() > 25);
    let open: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('read', 'auth') and c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity)",
    )
    .fetch_all(&world.owner)
    .await
    .unwrap();
    assert_eq!(open, [""; 0]);
    let views: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'read' and c.relkind = 'v' and not coalesce(c.reloptions @> array['security_invoker=true'], false)",
    )
    .fetch_all(&world.owner)
    .await
    .unwrap();
    assert_eq!(views, [""; 0], "a view is read with the rights of who asks");
    let bypass = "select count(*) from pg_roles where rolname in ('docket_writer', 'docket_projector', 'docket_reader')
         and (rolbypassrls or rolsuper)";
    assert_eq!(sqlx::query_scalar::<_, i64>(bypass).fetch_one(&world.owner).await.unwrap(), 0);
    let owned =
        "select count(*) from pg_class where relowner in (select oid from pg_roles where rolname like 'docket\\_%')";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(owned).fetch_one(&world.owner).await.unwrap(),
        0,
        "no role that serves owns a table"
    );
}

/// A row of whatever the columns take, of the tenant and of the user [`TENANT`].
const FILL: &str = "do $$
    declare
        place regclass;
        named record;
        columns text;
        given text;
    begin
        for named in select c.conrelid::regclass as place, c.conname from pg_constraint c join pg_class t on t.oid = c.conrelid
                     join pg_namespace n on n.oid = t.relnamespace
                     where n.nspname in ('read', 'auth') and c.contype in ('c', 'f') loop
            execute format('alter table %s drop constraint %I', named.place, named.conname);
        end loop;
        for place in select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
                     where n.nspname in ('read', 'auth') and c.relkind in ('r', 'p') loop
            select string_agg(quote_ident(attname), ', '),
                   string_agg(case t.typname when 'uuid' then quote_literal('00000000-0000-0000-0000-00000000000a')
                                             when 'timestamptz' then 'now()' when 'date' then 'current_date' when 'bool' then 'false' when 'bytea' then '''\\x00'''
                                             when 'inet' then '''192.0.2.1''' when 'jsonb' then '''{}'''
                                             else case when t.typcategory = 'A' then '''{}''' when t.typcategory = 'N' then '9'
                                                       else quote_literal('x') end end || '::' || format_type(t.oid, null), ', ')
                into columns, given
                from pg_attribute a join pg_type t on t.oid = a.atttypid
                where a.attrelid = place and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity <> 'a';
            execute format('insert into %s (%s) values (%s) on conflict do nothing', place, columns, given);
        end loop;
    end $$";

/// How many rows somebody sees; who may not ask at all sees none.
async fn seen(connection: &mut PgConnection, settings: &str, table: &str) -> i64 {
    connection.execute(AssertSqlSafe(format!("reset all; {settings}"))).await.unwrap();
    let columns: Vec<String> = sqlx::query_scalar(
        "select quote_ident(attname) from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped
         and has_column_privilege(attrelid, attnum, 'select')",
    )
    .bind(table)
    .fetch_all(&mut *connection)
    .await
    .unwrap_or_default();
    let Some(column) = columns.first() else { return 0 };
    let count = AssertSqlSafe(format!("select count(*) from (select {column} from {table}) t"));
    sqlx::query(count).fetch_one(connection).await.unwrap().get(0)
}

#[tokio::test]
async fn without_a_tenant_no_row_of_any_table_is_seen() {
    let world = World::new().await;
    world.owner.execute(AssertSqlSafe(FILL)).await.unwrap();
    // What happened to an account stands under the nil tenant.
    world
        .run(&format!(
            "insert into read.audit_v1 (event_id, tenant, shard, kind, at, user_id)
             values ('{TENANT}'::uuid, '{0}', 0, 'locked_out', now(), '{TENANT}') on conflict (event_id) do update set tenant = '{0}'",
            Uuid::nil()
        ))
        .await;
    let stranger = Uuid::from_u128(0xb);
    let mut visible = 0;
    for role in [DbRole::Reader, DbRole::Writer] {
        let mut connection = world.database.connect(role).await.unwrap();
        for table in tables(&world).await {
            let rows = AssertSqlSafe(format!("select count(*) from {table}"));
            assert!(sqlx::query_scalar::<_, i64>(rows).fetch_one(&world.owner).await.unwrap() > 0, "{table} is filled");
            let table = table.as_str();
            let own = seen(
                &mut connection,
                &format!("set docket.tenant = '{TENANT}'; set \"docket.user\" = '{TENANT}'"),
                table,
            )
            .await;
            visible += own;
            if OF_THE_INSTALLATION.contains(&table) {
                continue;
            }
            let foreign = format!("set docket.tenant = '{stranger}'");
            for settings in ["", "set docket.tenant = ''", "set docket.tenant = ''; set \"docket.user\" = ''", &foreign]
            {
                assert_eq!(seen(&mut connection, settings, table).await, 0, "{table} as {role}, {settings}");
            }
            // The nil tenant is nobody's.
            let nil = format!("set docket.tenant = '{}'", Uuid::nil());
            assert_eq!(seen(&mut connection, &nil, table).await, 0, "{table} as {role}, {nil}");
        }
        connection.close().await.unwrap();
    }
    assert!(visible > 20, "with a tenant rows are seen: {visible}");
}
