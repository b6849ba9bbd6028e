//! Accounts: the table `auth.account`, found by a keyed hash of the e-mail address.
//!
//! Owns that table's statements and the key of the hash. An address never stands there in clear.

use std::{net::IpAddr, sync::Arc};

use docket_domain::identity::normalise_email;
use docket_platform::{db, ids};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sqlx::PgPool;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::origin::Origin;

/// The key's name in `auth.secret`.
const KEY_NAME: &str = "email_hmac";

/// What a login needs of an account.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    /// The user.
    pub user_id: Uuid,
    /// The PHC string.
    pub password_hash: String,
    /// The organisation that the user works in.
    pub organisation: Uuid,
}

/// Access to accounts. Clones share the key.
#[derive(Debug, Clone)]
pub struct Accounts {
    pool: PgPool,
    key: Arc<OnceCell<Key>>,
}

/// The key; never shown.
struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Accounts {
    /// Accounts over a pool of the writer.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, key: Arc::default() }
    }

    /// The keyed hash (HMAC-SHA256) under which an address is unique and found.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn email_hmac(&self, email: &str) -> Result<Vec<u8>, sqlx::Error> {
        self.hmac(&normalise_email(email)).await
    }

    /// The same of the address that a user's account has; for one without an account a hash that is nobody's.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn email_hmac_of(&self, user_id: Uuid) -> Result<Vec<u8>, sqlx::Error> {
        let found = sqlx::query_scalar("select email_hmac from auth.account where user_id = $1")
            .bind(user_id)
            .fetch_optional(&mut *db::door(&self.pool).await?)
            .await?;
        Ok(found.unwrap_or_else(|| ids::random_bytes::<32>().to_vec()))
    }

    /// The keyed hash of any text.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hmac(&self, text: &str) -> Result<Vec<u8>, sqlx::Error> {
        let key = self.key.get_or_try_init(|| self.load_key()).await?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.0)
            .map_err(|error| sqlx::Error::Protocol(format!("auth.secret {KEY_NAME}: {error}")))?;
        mac.update(text.as_bytes());
        Ok(mac.finalize().into_bytes().to_vec())
    }

    /// Reads the key; whoever comes first makes it.
    async fn load_key(&self) -> Result<Key, sqlx::Error> {
        let mut connection = db::acquire(&self.pool).await?;
        sqlx::query("insert into auth.secret (name, value) values ($1, $2) on conflict (name) do nothing")
            .bind(KEY_NAME)
            .bind(ids::random_bytes::<32>().as_slice())
            .execute(&mut *connection)
            .await?;
        // A statement of its own: it sees the row of a racer that the first one waited for.
        let (value,) = sqlx::query_as("select value from auth.secret where name = $1")
            .bind(KEY_NAME)
            .fetch_one(&mut *connection)
            .await?;
        Ok(Key(value))
    }

    /// The account of an address.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, email: &str) -> Result<Option<Account>, sqlx::Error> {
        let hmac = self.email_hmac(email).await?;
        sqlx::query_as("select user_id, password_hash, organisation from auth.account where email_hmac = $1")
            .bind(hmac)
            .fetch_optional(&mut *db::door(&self.pool).await?)
            .await
    }

    /// The account of a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of_user(&self, user_id: Uuid) -> Result<Option<Account>, sqlx::Error> {
        sqlx::query_as("select user_id, password_hash, organisation from auth.account where user_id = $1")
            .bind(user_id)
            .fetch_optional(&mut *db::door(&self.pool).await?)
            .await
    }

    /// Whether a user has an account.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn exists(&self, user_id: Uuid) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("select exists (select from auth.account where user_id = $1)")
            .bind(user_id)
            .fetch_one(&mut *db::door(&self.pool).await?)
            .await
    }

    /// The organisations that a user may belong to, the preferred one first; the organisations' streams say whether it is so.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn organisations(&self, user_id: Uuid) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar(
            "select m.tenant from auth.membership m left join auth.account a on a.user_id = m.user_id
             where m.user_id = $1 order by m.tenant is distinct from a.organisation, m.tenant limit 100",
        )
        .bind(user_id)
        .fetch_all(&mut *db::door(&self.pool).await?)
        .await
    }

    /// Lets the next login be in this organisation, unless it names another.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prefer(&self, user_id: Uuid, organisation: Uuid) -> Result<(), sqlx::Error> {
        let mut door = db::door(&self.pool).await?;
        sqlx::query("update auth.account set organisation = $2 where user_id = $1")
            .bind(user_id)
            .bind(organisation)
            .execute(&mut *door)
            .await?;
        door.commit().await
    }

    /// A keyed hash of where somebody is: the neighbourhood in the network (/24, /48) and the program, neither of which it tells.
    pub(super) async fn place_hmac(&self, origin: &Origin) -> Result<Vec<u8>, sqlx::Error> {
        let network = match origin.address.as_deref().map(str::parse) {
            Some(Ok(IpAddr::V4(address))) => address.octets()[..3].to_vec(),
            Some(Ok(IpAddr::V6(address))) => address.octets()[..6].to_vec(),
            Some(Err(_)) | None => Vec::new(),
        };
        self.hmac(&format!("place\n{network:?}\n{}", origin.agent.as_deref().unwrap_or_default())).await
    }

    /// Adds an account unless the user, or the address, has one; says whether it did.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert(&self, account: &Account, email: &str) -> Result<bool, sqlx::Error> {
        let hmac = self.email_hmac(email).await?;
        let mut door = db::door(&self.pool).await?;
        let done = sqlx::query(
            "insert into auth.account (user_id, email_hmac, password_hash, organisation) values ($1, $2, $3, $4)
             on conflict do nothing",
        )
        .bind(account.user_id)
        .bind(hmac)
        .bind(&account.password_hash)
        .bind(account.organisation)
        .execute(&mut *door)
        .await?;
        sqlx::query("insert into auth.membership (user_id, tenant) values ($1, $2) on conflict do nothing")
            .bind(account.user_id)
            .bind(account.organisation)
            .execute(&mut *door)
            .await?;
        door.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts another hash in place of `account`'s; false, and nothing: the password was changed meanwhile.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_hash(&self, account: &Account, hash: &str) -> Result<bool, sqlx::Error> {
        let mut door = db::door(&self.pool).await?;
        let done = sqlx::query(
            "update auth.account set password_hash = $3, updated_at = now() where user_id = $1 and password_hash = $2",
        )
        .bind(account.user_id)
        .bind(&account.password_hash)
        .bind(hash)
        .execute(&mut *door)
        .await?;
        door.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
