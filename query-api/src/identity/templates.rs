//! Requests that the organisation has prepared: the queries `templates` and `template`.

use async_graphql::{Context, Json, Object, Result, SimpleObject, connection::Connection};
use chrono::{DateTime, Utc};
use docket_log::Position;
use docket_platform::auth::permissions::Action;
use serde_json::Value;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::User;
use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor, Page},
    position::DIRECTORY,
    read::ReadError,
};

/// A request that the organisation has prepared, in one of its versions.
#[derive(Debug, Clone, SimpleObject)]
pub struct Template {
    /// What askers call it.
    name: String,
    /// Which version. Versions rise; not every number is one.
    version: u64,
    /// The request, with `{{value}}` where values go.
    request: Json<Value>,
    /// The JSON Schema that the values satisfy; null: any will do.
    values: Option<Json<Value>>,
    /// Who set it.
    set_by: Option<User>,
    /// When.
    set_at: Instant,
    /// Since when nothing can be asked with it, in any version; null: it can be used.
    retired_at: Option<Instant>,
}

/// The root fields of templates.
#[derive(Debug, Default)]
pub struct TemplatesQuery;

#[Object]
impl TemplatesQuery {
    /// The newest versions of the organisation's templates, the last set first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn templates(
        &self,
        context: &Context<'_>,
        #[graphql(default, desc = "Those too that are retired.")] retired: bool,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Template>> {
        let asker = Asker::who_may(context, Action::Read)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let page = Page::new(first, after.as_deref()).map_err(error::from_read)?;
        templates(asker, retired, &page, &wanted).await.map_err(error::from_read)
    }

    /// One template; null when the organisation has none of this name, or not in this version.
    async fn template(
        &self,
        context: &Context<'_>,
        name: String,
        #[graphql(desc = "Which version; the newest if not given.")] version: Option<u64>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Option<Template>> {
        let asker = Asker::who_may(context, Action::Read)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        template(asker, &name, version, &wanted).await.map_err(error::from_read)
    }
}

const COLUMNS: &str =
    "t.id, t.name, t.version, t.request, t.\"values\", t.set_by, u.name as set_by_name, t.set_at, t.retired_at";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    version: i64,
    request: String,
    values: Option<String>,
    set_by: Uuid,
    set_by_name: Option<String>,
    set_at: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Template {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let json = |text: &str| serde_json::from_str(text).map(Json).map_err(|error| sqlx::Error::Decode(error.into()));
        Ok(Self {
            request: json(&row.request)?,
            values: row.values.as_deref().map(json).transpose()?,
            name: row.name,
            version: row.version.unsigned_abs(),
            set_by: User::new(Some(row.set_by), row.set_by_name),
            set_at: Instant(row.set_at),
            retired_at: row.retired_at.map(Instant),
        })
    }
}

async fn templates(
    asker: &Asker,
    retired: bool,
    page: &Page,
    wanted: &Position,
) -> Result<Connection<String, Template>, ReadError> {
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, wanted, None).await?;
    asker.seen.record(&entered);
    let rows = asker.gate.reads().guard(newest(&mut entered.tx, retired, page)).await?;
    Ok(page.connection(rows, |(id, template)| (Cursor { at: template.set_at.0, id }, template)))
}

async fn newest(
    connection: &mut PgConnection,
    retired: bool,
    page: &Page,
) -> Result<Vec<(Uuid, Template)>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(
        " from read.template t left join read.user u on u.user_id = t.set_by
         where not exists (select from read.template later where later.id = t.id and later.version > t.version)",
    );
    if !retired {
        query.push(" and t.retired_at is null");
    }
    if let Some(cursor) = page.after {
        query.push(" and (t.set_at, t.id) < (").push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
    }
    query.push(" order by t.set_at desc, t.id desc limit ").push_bind(page.limit());
    let rows: Vec<Row> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(|row| Ok((row.id, row.try_into()?))).collect()
}

async fn template(
    asker: &Asker,
    name: &str,
    version: Option<u64>,
    wanted: &Position,
) -> Result<Option<Template>, ReadError> {
    if name.contains('\0') {
        return Err(ReadError::argument("name", "it must not contain the character U+0000."));
    }
    // No version is as high as PostgreSQL's numbers go.
    let Ok(version) = version.map(i64::try_from).transpose() else { return Ok(None) };
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, wanted, None).await?;
    asker.seen.record(&entered);
    let found = async {
        let mut query = QueryBuilder::<Postgres>::new("select ");
        query.push(COLUMNS).push(" from read.template t left join read.user u on u.user_id = t.set_by where t.name = ");
        query.push_bind(name);
        if let Some(version) = version {
            query.push(" and t.version = ").push_bind(version);
        }
        query.push(" order by t.version desc limit 1");
        let row: Option<Row> = query.build_query_as().fetch_optional(&mut *entered.tx).await?;
        row.map(Template::try_from).transpose()
    };
    asker.gate.reads().guard(found).await
}
