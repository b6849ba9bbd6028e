//! Against a real server: what a session is, and what its failures look like.

use std::future::Future;

use super::*;
use crate::embedded::{DATABASE, OWNER, ScratchCluster};

const TENANT: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

/// The shared cluster, which has the login roles.
fn server() -> PgConnectOptions {
    ScratchCluster::shared().connect_options(OWNER, DATABASE)
}

async fn show(connection: &mut PgConnection, setting: &str) -> String {
    let (value,): (Option<String>,) = sqlx::query_as("SELECT current_setting($1, true)")
        .bind(setting)
        .fetch_one(connection)
        .await
        .expect("the setting is read");
    value.unwrap_or_default()
}

async fn users(connection: &mut PgConnection) -> (String, String) {
    sqlx::query_as("SELECT session_user::text, current_user::text").fetch_one(connection).await.expect("users are read")
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    timeout(limit, work).await.expect("in time")
}

#[tokio::test]
async fn a_role_logs_in_itself_or_is_taken_on() {
    let options = server();
    for role in DbRole::SERVING {
        let name = role.postgres_name().expect("a serving role").to_owned();
        let mut own = Database::embedded(options.clone()).connect(role).await.expect("it logs in");
        assert_eq!(users(&mut own).await, (name.clone(), name.clone()));
        let outside = Database { options: options.clone(), login_roles: false };
        let mut taken = outside.connect(role).await.expect("it is taken on");
        assert_eq!(users(&mut taken).await, (OWNER.to_owned(), name.clone()));
        assert_eq!(show(&mut taken, "application_name").await, role.application_name());
        sqlx::raw_sql("RESET ROLE").execute(&mut taken).await.expect("reset");
        assert_eq!(users(&mut taken).await.1, name, "resetting returns to the role of the session's start");
    }
}

#[tokio::test]
async fn only_a_writer_has_the_short_time_outs() {
    let database = Database::embedded(server());
    let mut writer = database.connect(DbRole::Writer).await.expect("connected");
    assert_eq!(show(&mut writer, "lock_timeout").await, "1s");
    assert_eq!(show(&mut writer, "statement_timeout").await, "10s");
    assert_eq!(show(&mut writer, "idle_in_transaction_session_timeout").await, "1s");
    assert_eq!(show(&mut writer, "synchronous_commit").await, "on");
    let mut reader = database.connect(DbRole::Reader).await.expect("connected");
    assert_eq!(show(&mut reader, "lock_timeout").await, "0");
}

#[tokio::test]
async fn the_tenant_is_set_for_one_transaction_only() {
    let pool = Database::embedded(server()).pool(DbRole::Writer, 1, Duration::from_secs(5));
    let mut transaction = tenant_transaction(&pool, TENANT).await.expect("begun");
    assert_eq!(show(&mut transaction, "docket.tenant").await, TENANT.to_string());
    transaction.commit().await.expect("committed");
    let mut connection = acquire(&pool).await.expect("the same connection");
    assert_eq!(show(&mut connection, "docket.tenant").await, "");
    drop(connection);
    drop(tenant_transaction(&pool, TENANT).await.expect("begun"));
    let mut connection = acquire(&pool).await.expect("the same connection");
    assert_eq!(show(&mut connection, "docket.tenant").await, "", "a dropped transaction is rolled back");
}

#[tokio::test]
async fn a_reading_transaction_cannot_write() {
    let pool = Database::embedded(server()).pool(DbRole::Owner, 1, Duration::from_secs(5));
    let mut transaction = tenant_read(&pool, TENANT).await.expect("begun");
    assert_eq!(show(&mut transaction, "docket.tenant").await, TENANT.to_string());
    let error = sqlx::query("CREATE SCHEMA x").execute(&mut *transaction).await.expect_err("refused");
    assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some("25006"));
}

#[tokio::test]
async fn a_server_that_is_gone_is_reported_long_before_the_pool_gives_up() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let url = Masked::new(format!("postgres://nobody@127.0.0.1:{port}/nothing"));
    let database = Database::from_url("DATABASE_URL", &url).expect("a URL");
    // More callers than connections: those who wait for a connection learn it as well.
    let pool = database.pool(DbRole::Reader, 2, Duration::from_secs(30));
    let callers = (0..6).map(|_| within(Duration::from_secs(5), tenant_read(&pool, TENANT)));
    for result in futures_util::future::join_all(callers).await {
        let error = result.expect_err("nobody is there");
        assert!(is_connection_failure(&error), "{error}");
    }
}

#[tokio::test]
async fn a_busy_pool_is_overload_and_no_connection_failure() {
    let pool = Database::embedded(server()).pool(DbRole::Reader, 1, Duration::from_millis(300));
    let _held = acquire(&pool).await.expect("the only connection");
    let error = acquire(&pool).await.expect_err("none is left");
    assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error}");
    assert!(is_overload(&error) && !is_connection_failure(&error));
}

#[tokio::test]
async fn a_server_is_reachable_however_busy_the_pool_and_refuses_a_role_it_does_not_have() {
    let database = Database::embedded(server());
    let pool = database.pool(DbRole::Reader, 1, Duration::from_secs(5));
    let _held = acquire(&pool).await.expect("the only connection");
    assert_eq!(reachability(&pool).await, Reachability::Answers);
    let options = server().username("nobody_of_this_name");
    let strangers = Database::embedded(options).pool(DbRole::Owner, 1, Duration::from_secs(5));
    assert_eq!(reachability(&strangers).await, Reachability::Refuses);
}

#[tokio::test]
async fn a_terminated_session_is_a_connection_failure_and_a_cancelled_statement_is_not() {
    let database = Database::embedded(server());
    let mut victim = database.connect(DbRole::Reader).await.expect("connected");
    let (pid,): (i32,) = sqlx::query_as("SELECT pg_backend_pid()").fetch_one(&mut victim).await.expect("its pid");
    sqlx::raw_sql("SET statement_timeout = '1ms'").execute(&mut victim).await.expect("set");
    let error = sqlx::query("SELECT pg_sleep(10)").execute(&mut victim).await.expect_err("cancelled");
    assert!(is_overload(&error) && !is_connection_failure(&error), "{error}");
    let mut owner = database.connect(DbRole::Owner).await.expect("connected");
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut owner).await.expect("terminated");
    let error = sqlx::query("SELECT 1").execute(&mut victim).await.expect_err("terminated");
    assert!(is_connection_failure(&error), "{error}");
}

#[tokio::test]
async fn the_use_of_a_pool_is_shown_until_it_closes() {
    let pool = Database::embedded(server()).pool(DbRole::Reader, 3, Duration::from_secs(5));
    export_pool("shown", &pool);
    let held = acquire(&pool).await.expect("a connection");
    let text = metrics::render();
    assert!(text.contains(r#"docket_db_pool_connections{pool="shown",state="used"} 1"#), "{text}");
    assert!(text.contains(r#"docket_db_pool_connections{pool="shown",state="max"} 3"#), "{text}");
    drop(held);
    pool.close().await;
    assert!(!metrics::render().contains(r#"pool="shown""#));
}

#[test]
fn a_url_that_cannot_be_read_is_not_repeated() {
    for url in ["mysql://me:hunter2@db/x", "hunter2", "postgres://me:hunter2@db:port/x"] {
        let error = Database::from_url("DATABASE_URL", &Masked::new(url)).expect_err(url);
        assert!(error.to_string().contains("DATABASE_URL") && !error.to_string().contains("hunter2"), "{error}");
    }
    let database = Database::from_url("DATABASE_URL", &Masked::new("postgres://me:hunter2@db/x")).expect("a URL");
    assert!(!format!("{database:?}").contains("hunter2"));
}
