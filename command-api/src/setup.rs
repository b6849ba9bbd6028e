//! Organisations and people that no request makes: the first start, and users that an operator adds.
//!
//! Owns the order that makes this safe to kill and to repeat: events first, under ids that a repetition finds again, and the account
//! row, which lets somebody log in, last. A password is reported only by the call that inserted its row, so of several processes that
//! start at once exactly one prints it. It must not change what exists: the first registration, role and password stand.

use docket_domain::identity::{
    AddMember, CreateOrganisation, Organisation, OrganisationCommand, Refusal, RegisterUser, User, decide_organisation,
    register_user,
};
use docket_events::{Category, Metadata, StreamId, identity::Role};
use docket_log::{Claim, CommandContext, ExecuteError, Outcome, Statuses, Store};
use docket_platform::auth::{AuthError, ensure_key};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::{
    auth::{
        accounts::{Account, Accounts},
        memberships,
        password::{self, Hasher, PasswordError, UnfitPassword},
    },
    config::FirstStartArgs,
};

/// The first administrator's address, unless one is given.
pub const ADMIN_EMAIL: &str = "admin@docket.local";
/// The reviewer of the demonstration.
pub const REVIEWER_EMAIL: &str = "reviewer@docket.local";

const DEFAULT_ORGANISATION: &str = "Default organisation";
/// How a membership that is new tells itself from one that was there.
const JOINED: u16 = 201;

/// What the first start makes.
#[derive(Debug, Clone, Default)]
pub struct FirstStartOptions {
    /// The organisation's name.
    pub organisation: Option<String>,
    /// The administrator's address.
    pub admin_email: Option<String>,
    /// The administrator's password; generated when none is given.
    pub admin_password: Option<SecretString>,
    /// Whether to make a reviewer too: whoever asks cannot answer, so one person alone sees nothing decided.
    pub reviewer: bool,
}

impl FirstStartOptions {
    /// What an operator asked for.
    #[must_use]
    pub fn new(args: &FirstStartArgs, reviewer: bool) -> Self {
        Self {
            organisation: args.organisation.clone(),
            admin_email: args.admin_email.clone(),
            admin_password: args.admin_password.as_ref().map(|password| password.expose().into()),
            reviewer,
        }
    }
}

/// What the first start made.
#[derive(Debug, Clone)]
pub struct FirstStart {
    /// The organisation.
    pub organisation: Uuid,
    /// Those who can log in from now on.
    pub people: Vec<NewPerson>,
}

/// Somebody who can log in from now on.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// The user.
    pub user_id: Uuid,
    /// The address to log in with.
    pub email: String,
    /// The password: the only time that it is told.
    pub password: SecretString,
    /// The role in the organisation.
    pub role: Role,
    /// Whether the password was made here.
    pub generated: bool,
}

/// Why people could not be made; what was done until then stands, and a repetition goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The journal did not take it.
    #[error(transparent)]
    Journal(#[from] ExecuteError),
    /// The database did not answer.
    #[error("accounts cannot be written: {0}")]
    Accounts(#[from] sqlx::Error),
    /// There is no key to sign tokens with.
    #[error(transparent)]
    Keys(#[from] AuthError),
    /// The password may not be set.
    #[error(transparent)]
    Unfit(#[from] UnfitPassword),
    /// The password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A name, an address or a membership does not do.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The address belongs to another user.
    #[error("{0} belongs to another user already")]
    EmailTaken(String),
}

/// The organisation that the first start makes.
#[must_use]
pub fn first_organisation(store: &Store) -> Uuid {
    Uuid::new_v5(&store.installation().id, b"organisation")
}

/// Makes organisation, administrator and, when asked for, a reviewer, unless they exist. None when they did.
///
/// # Errors
/// See [`SetupError`].
pub async fn first_start(store: &Store, options: FirstStartOptions) -> Result<Option<FirstStart>, SetupError> {
    let FirstStartOptions { organisation: name, admin_email, admin_password, reviewer } = options;
    ensure_key(store.pool()).await?;
    let organisation = first_organisation(store);
    create_organisation(store, organisation, name.as_deref().unwrap_or(DEFAULT_ORGANISATION)).await?;
    let slot = |name: &str| Uuid::new_v5(&store.installation().id, format!("user-slot:{name}").as_bytes());
    let mut plans = vec![Plan {
        user_id: slot("admin"),
        organisation,
        email: admin_email.unwrap_or_else(|| ADMIN_EMAIL.to_owned()),
        name: "Administrator".to_owned(),
        role: Role::Admin,
        password: admin_password,
    }];
    if reviewer {
        plans.push(Plan {
            user_id: slot("reviewer"),
            organisation,
            email: REVIEWER_EMAIL.to_owned(),
            name: "Reviewer".to_owned(),
            role: Role::Reviewer,
            password: None,
        });
    }
    let setup = Setup::new(store);
    let mut people = Vec::new();
    for plan in plans {
        let role = plan.role;
        match setup.person(plan).await {
            Ok(person) => people.extend(person),
            // Somebody was added by hand under that address: they can log in, which is what this is for.
            Err(SetupError::EmailTaken(_)) => tracing::warn!(?role, "not made: the address belongs to another user"),
            Err(error) => return Err(error),
        }
    }
    Ok((!people.is_empty()).then_some(FirstStart { organisation, people }))
}

/// Makes an organisation unless it exists.
///
/// # Errors
/// See [`SetupError`].
pub async fn create_organisation(store: &Store, id: Uuid, name: &str) -> Result<(), SetupError> {
    let command = OrganisationCommand::Create(CreateOrganisation { name: name.to_owned(), admin: None, from: None });
    let context = CommandContext { tenant: id, metadata: by_setup(), ..CommandContext::default() };
    let stream = StreamId::new(Category::Identity, id);
    match store
        .execute(&context, stream, |state: &Organisation, now| decide_organisation(state, command.clone(), now))
        .await?
    {
        Outcome::Accepted(_) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.into()),
    }
}

/// Adds a user to the first organisation; see [`create_user_in`].
///
/// # Errors
/// See [`SetupError`].
pub async fn create_user(
    store: &Store,
    email: &str,
    name: &str,
    role: Role,
    password: SecretString,
) -> Result<CreatedUser, SetupError> {
    create_user_in(store, first_organisation(store), email, name, role, password).await
}

/// A user that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedUser {
    /// The user.
    pub user_id: Uuid,
    /// Whether the account is new; if not, its password is what it was.
    pub created: bool,
}

/// Adds a user who may log in to `organisation`. Repeating it changes nothing.
///
/// # Errors
/// See [`SetupError`].
pub async fn create_user_in(
    store: &Store,
    organisation: Uuid,
    email: &str,
    name: &str,
    role: Role,
    password: SecretString,
) -> Result<CreatedUser, SetupError> {
    let setup = Setup::new(store);
    let hmac = setup.accounts.email_hmac(email).await?;
    let user_id = Uuid::new_v5(&store.installation().id, &[b"user:", hmac.as_slice()].concat());
    let plan =
        Plan { user_id, organisation, email: email.to_owned(), name: name.to_owned(), role, password: Some(password) };
    let created = setup.person(plan).await?.is_some();
    Ok(CreatedUser { user_id, created })
}

/// Somebody who is to be a member, under an id that a repetition finds again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// The user.
    pub user_id: Uuid,
    /// Their address.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// Makes members of an organisation, many one after the other. They log in with the one password that all of them have; without one
/// nobody can.
pub struct Enrolment<'a> {
    setup: Setup<'a>,
    organisation: Uuid,
    password_hash: Option<String>,
}

impl<'a> Enrolment<'a> {
    /// Begins; the password is hashed once.
    ///
    /// # Errors
    /// When the password may not be set.
    pub async fn new(store: &'a Store, organisation: Uuid, password: Option<SecretString>) -> Result<Self, SetupError> {
        let setup = Setup::new(store);
        let password_hash = match password {
            None => None,
            Some(password) => {
                password::check(&password)?;
                Some(setup.hasher.hash(password).await?)
            }
        };
        Ok(Self { setup, organisation, password_hash })
    }

    /// Makes a member, and says whether they are new. Repeating it changes nothing, but lets them log in who could not before if there is
    /// a password now.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn add(&self, member: &NewMember) -> Result<bool, SetupError> {
        let (organisation, NewMember { user_id, email, name, role }) = (self.organisation, member.clone());
        let plan = Plan { user_id, organisation, email, name, role, password: None };
        let email = self.setup.register(&plan).await?;
        let joined = self.setup.join(&plan).await?;
        if let Some(hash) = &self.password_hash {
            let account = Account { user_id, password_hash: hash.clone(), organisation };
            self.setup.accounts.insert(&account, &email).await?;
        }
        Ok(joined)
    }
}

/// Somebody who is to exist.
struct Plan {
    user_id: Uuid,
    organisation: Uuid,
    email: String,
    name: String,
    role: Role,
    password: Option<SecretString>,
}

struct Setup<'a> {
    store: &'a Store,
    accounts: Accounts,
    hasher: Hasher,
}

impl<'a> Setup<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, accounts: Accounts::new(store.pool().clone()), hasher: Hasher::new(0) }
    }

    /// Registers, adds to the organisation, and then lets log in; none when the account was there.
    async fn person(&self, plan: Plan) -> Result<Option<NewPerson>, SetupError> {
        if let Some(password) = &plan.password {
            password::check(password)?;
        }
        if self.accounts.exists(plan.user_id).await? {
            return Ok(None);
        }
        let email = self.register(&plan).await?;
        self.join(&plan).await?;
        let Plan { user_id, organisation, role, password, .. } = plan;
        let generated = password.is_none();
        let password = password.unwrap_or_else(password::generate);
        let password_hash = self.hasher.hash(password.clone()).await?;
        let inserted = self.accounts.insert(&Account { user_id, password_hash, organisation }, &email).await?;
        Ok(inserted.then_some(NewPerson { user_id, email, password, role, generated }))
    }

    /// Registers the user and says under which address: the first one, should a start before this one have given another.
    async fn register(&self, plan: &Plan) -> Result<String, SetupError> {
        let Plan { user_id, email, name, .. } = plan;
        let claim = Claim { kind: "email", value: self.accounts.email_hmac(email).await? };
        let context = CommandContext { claims: vec![claim], metadata: by_setup(), ..CommandContext::default() };
        let command = RegisterUser { user_id: *user_id, email: email.clone(), name: name.clone(), from: None };
        let stream = StreamId::new(Category::Identity, *user_id);
        let decide = |state: &User, _| register_user(state, command.clone());
        let mut user = match self.store.execute(&context, stream, decide).await {
            Ok(Outcome::Accepted(accepted)) => accepted.state,
            Ok(Outcome::Refused(refusal)) => return Err(refusal.into()),
            Err(ExecuteError::ClaimTaken) => return Err(SetupError::EmailTaken(email.clone())),
            Err(error) => return Err(error.into()),
        };
        self.store.vault().open(std::slice::from_mut(&mut user)).await.map_err(ExecuteError::from)?;
        let registered = user.registered.as_ref().and_then(|registered| registered.email.value());
        Ok(registered.unwrap_or(email).clone())
    }

    /// Lets the user belong to the organisation, and says whether they did not before.
    async fn join(&self, plan: &Plan) -> Result<bool, SetupError> {
        let command = OrganisationCommand::AddMember(AddMember { user_id: plan.user_id, role: plan.role });
        let status = Statuses { changed: JOINED, ..Statuses::default() };
        let context =
            CommandContext { tenant: plan.organisation, metadata: by_setup(), status, ..CommandContext::default() };
        let stream = StreamId::new(Category::Identity, plan.organisation);
        memberships::hint(self.store.pool(), plan.user_id, plan.organisation).await?;
        match self
            .store
            .execute(&context, stream, |state: &Organisation, now| decide_organisation(state, command.clone(), now))
            .await?
        {
            Outcome::Accepted(accepted) => Ok(accepted.status == JOINED),
            // A role that was changed since stands.
            Outcome::Refused(Refusal::AlreadyMember { .. }) => Ok(false),
            Outcome::Refused(refusal) => Err(refusal.into()),
        }
    }
}

/// Nobody commanded it: the installation was set up.
fn by_setup() -> Metadata {
    Metadata { causation_id: Some("setup".to_owned()), ..Metadata::default() }
}

/// For the one line that prints it.
impl NewPerson {
    /// The password in clear.
    #[must_use]
    pub fn expose_password(&self) -> &str {
        self.password.expose_secret()
    }
}
