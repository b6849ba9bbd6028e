//! Letters: what an event of identity makes of a mail, and when there is nothing to say any more.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use docket_events::{
    Category, Personal, StreamId,
    identity::{
        AddressVerified, Channel, IdentityEvent as Event, InvitationAccepted, InvitationRevoked, LoginMethod,
        MemberInvited, OrganisationCreated, Role, SessionStarted, UserRegistered, VerificationRequested,
    },
};
use docket_log::{Bell, Topic, Vault};
use docket_platform::{
    Shutdown,
    auth::mailed::{self, Invited, Purpose},
    clock, db, ids,
    outgoing::{Outgoing, OutgoingArgs},
};
use docket_projector::{
    mail::{MailSettings, Mailer},
    projection::Schema,
    reactors::{
        Deliverer, Dispatch, MAIL, Patience, Postman, REACTORS,
        deliveries::{self, Entry, State},
        register,
    },
    runtime::Engine,
};
use secrecy::SecretString;
use uuid::Uuid;

use crate::support::{World, settle};

const ADA: Uuid = Uuid::from_u128(0xada);
const WORKS: Uuid = Uuid::from_u128(0x3045);
const INVITATION: Uuid = Uuid::from_u128(0x14f1);
const URL: &str = "https://docket.example.com";

#[derive(Debug, Parser)]
struct All {
    #[command(flatten)]
    mail: MailSettings,
}

/// A world in which everything is mailed into a folder.
struct Office {
    world: World,
    folder: PathBuf,
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Office {
    /// Ada is registered, and the organisation exists; what comes now is mailed.
    async fn open() -> Self {
        let world = World::new().await;
        register(&world.pool, &[&MAIL]).await.expect("registered");
        let folder = std::env::temp_dir().join(format!("docket-letters-{}", ids::new_id()));
        fs::create_dir(&folder).expect("a folder");
        let office = Self { world, folder };
        office.say(ADA, registered()).await;
        office
            .say(
                WORKS,
                Event::OrganisationCreated(OrganisationCreated { name: "Harbour Works".to_owned(), address: None }),
            )
            .await;
        office
    }

    /// Journals what happens now.
    async fn say(&self, stream: Uuid, event: Event) {
        self.world.say(StreamId::new(Category::Identity, stream), event).await;
        self.world.sql("update write.journal set time = now() where time < '2026-01-02'").await;
    }

    /// Notes what is wanted, delivers it, and gives what became of each.
    async fn deliver(&self) -> Vec<Entry> {
        let world = &self.world;
        let vault = || Vault::new(world.pool.clone());
        let mut engine = Engine::new(world.pool.clone(), vault(), world.reader(), REACTORS, Schema::reactors(), None);
        engine.hold(&world.shards()).await.expect("held");
        settle(&mut engine).await;
        let settings = All::try_parse_from(["docket"]).expect("settings").mail;
        let outgoing = Outgoing::new(&OutgoingArgs::default());
        let mailer = Mailer::new(&settings, Some(&self.folder), &outgoing).expect("a mailer");
        let by = Arc::new(Postman::new(world.pool.clone(), vault(), mailer, URL));
        let patience = Patience { attempts: 1, ..Patience::default() };
        let dispatch = Dispatch::new(world.pool.clone(), vault(), vec![Deliverer { reactor: &MAIL, by }], patience);
        let shutdown = Shutdown::new();
        let task = tokio::spawn(dispatch.run(Bell::new(Topic::React), shutdown.clone()));
        let entries = async |state| deliveries::list(&world.pool, state, Some("mail"), 100).await.expect("listed");
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !entries(State::Pending).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "something is still to be delivered");
        shutdown.begin();
        task.await.expect("ended");
        assert!(entries(State::Dead).await.is_empty(), "{:?}", entries(State::Dead).await);
        entries(State::Done).await
    }

    /// The reason for which the one thing that was wanted is moot.
    async fn moot(&self) -> String {
        let done = self.deliver().await;
        assert_eq!(self.mails(), Vec::<String>::new());
        let [entry] = done.as_slice() else { panic!("one thing was wanted: {done:?}") };
        entry.outcome.clone().expect("a reason")
    }

    /// The one mail, its text in full lines.
    async fn mail(&self) -> String {
        self.deliver().await;
        let mut mails = self.mails();
        assert_eq!(mails.len(), 1, "{mails:?}");
        mails.remove(0)
    }

    fn mails(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join("outbox")) else { return Vec::new() };
        let read = |path: PathBuf| fs::read_to_string(path).expect("a mail");
        // Lines may be folded (quoted-printable).
        entries.map(|entry| read(entry.expect("an entry").path()).replace("=\r\n", "").replace("=3D", "=")).collect()
    }

    async fn holder(&self, purpose: Purpose, mail: &str) -> Option<Uuid> {
        let mut door = db::door(&self.world.owner).await.expect("open");
        mailed::holder(&mut door, purpose, &token(mail)).await.expect("looked up")
    }
}

/// The token of the link in a mail.
fn token(mail: &str) -> SecretString {
    let (_, rest) = mail.split_once("#token=").expect("a link");
    let own = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    rest.chars().take_while(own).collect::<String>().into()
}

fn registered() -> Event {
    Event::UserRegistered(UserRegistered {
        email: Personal::known(ADA, "ada@example.org".to_owned()),
        name: Personal::known(ADA, "Ada Example".to_owned()),
        address: None,
    })
}

fn requested() -> Event {
    Event::VerificationRequested(VerificationRequested { channel: Channel::Mail, address: None })
}

fn invited(expires_at: DateTime<Utc>) -> Event {
    Event::MemberInvited(MemberInvited {
        invitation_id: INVITATION,
        email: Personal::known(INVITATION, "grace@example.org".to_owned()),
        role: Role::Reviewer,
        expires_at,
    })
}

fn in_a_week() -> DateTime<Utc> {
    clock::now() + TimeDelta::days(7)
}

fn started(new_place: bool, agent: Option<&str>) -> Event {
    Event::SessionStarted(SessionStarted {
        user_id: ADA,
        method: LoginMethod::Password,
        credentials: 0,
        expires_at: in_a_week(),
        new_place,
        address: Some(Personal::known(ADA, "192.0.2.7".to_owned())),
        agent: agent.map(|agent| Personal::known(ADA, agent.to_owned())),
    })
}

#[tokio::test]
async fn whoever_registered_gets_a_link_that_verifies_the_address() {
    let office = Office::open().await;
    office.say(ADA, requested()).await;
    let mail = office.mail().await;
    assert!(mail.contains("ada@example.org") && mail.contains("Hello Ada Example,"), "{mail}");
    assert!(mail.contains(&format!("{URL}/verify#token=")) && mail.contains("for 30 minutes"), "{mail}");
    assert_eq!(office.holder(Purpose::VerifyAddress, &mail).await, Some(ADA));
    assert_eq!(office.holder(Purpose::ResetPassword, &mail).await, None, "good for nothing else");
}

#[tokio::test]
async fn an_address_that_was_verified_erased_or_asked_about_long_ago_is_left_alone() {
    let office = Office::open().await;
    office.say(ADA, requested()).await;
    office.say(ADA, Event::AddressVerified(AddressVerified { channel: Channel::Mail, address: None })).await;
    assert_eq!(office.moot().await, "the address was verified meanwhile");

    let office = Office::open().await;
    office.say(ADA, requested()).await;
    office.world.sql("update write.journal set time = time - interval '25 hours'").await;
    assert_eq!(office.moot().await, "it was asked for too long ago");

    let office = Office::open().await;
    office.say(ADA, requested()).await;
    office.world.sql("delete from vault.data_key").await;
    assert_eq!(office.moot().await, "the person was erased");
}

#[tokio::test]
async fn whoever_is_invited_is_told_by_whom_and_gets_a_link_for_as_long_as_the_invitation_stands() {
    let office = Office::open().await;
    let until = in_a_week();
    office.say(WORKS, invited(until)).await;
    let by = format!("update write.journal set meta = '{{\"principal\":\"{ADA}\"}}' where event_type like '%invited%'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(by)).execute(&office.world.owner).await.expect("done");
    let mail = office.mail().await;
    assert!(mail.contains("grace@example.org") && !mail.contains("ada@example.org"), "{mail}");
    assert!(mail.contains("Ada Example invites you to the organisation Harbour Works"), "{mail}");
    assert!(mail.contains("in the role reviewer") && mail.contains("for 7 days"), "{mail}");
    assert!(mail.contains(&format!("{URL}/join#token=")), "{mail}");
    let mut door = db::door(&office.world.owner).await.expect("open");
    let found = mailed::invited(&mut door, &token(&mail)).await.expect("looked up");
    assert_eq!(found, Some(Invited { invitation: INVITATION, tenant: WORKS }));
    let end: DateTime<Utc> =
        sqlx::query_scalar("select expires_at from auth.mailed_token").fetch_one(&mut *door).await.expect("a token");
    assert!((end - until).abs() < TimeDelta::milliseconds(1), "{end} is not {until}");
}

#[tokio::test]
async fn an_invitation_that_is_over_is_not_mailed() {
    let over = "the invitation was accepted or taken back meanwhile";
    let office = Office::open().await;
    office.say(WORKS, invited(in_a_week())).await;
    office.say(WORKS, Event::InvitationRevoked(InvitationRevoked { invitation_id: INVITATION })).await;
    assert_eq!(office.moot().await, over);

    let office = Office::open().await;
    office.say(WORKS, invited(in_a_week())).await;
    let accepted = InvitationAccepted { invitation_id: INVITATION, user_id: ADA, address: None };
    office.say(WORKS, Event::InvitationAccepted(accepted)).await;
    assert_eq!(office.moot().await, over);

    let office = Office::open().await;
    office.say(WORKS, invited(clock::now() - TimeDelta::seconds(1))).await;
    assert_eq!(office.moot().await, "the invitation has expired");

    let office = Office::open().await;
    office.say(WORKS, invited(in_a_week())).await;
    office.world.sql("delete from vault.data_key").await;
    assert_eq!(office.moot().await, "the address was erased");

    // The end of another invitation is not this one's; and where nobody knows who invited, it goes all the same.
    let office = Office::open().await;
    office.say(WORKS, invited(in_a_week())).await;
    office.say(WORKS, Event::InvitationRevoked(InvitationRevoked { invitation_id: ADA })).await;
    assert!(office.mail().await.contains("An administrator invites you"));
}

#[tokio::test]
async fn a_login_from_somewhere_new_is_told_to_the_user() {
    let office = Office::open().await;
    office.say(ids::new_id(), started(false, Some("Usual/1"))).await;
    office.say(ids::new_id(), started(true, Some("Strange\u{202e}/1.0"))).await;
    let mail = office.mail().await;
    assert!(mail.contains("ada@example.org") && mail.contains("192.0.2.7"), "{mail}");
    assert!(mail.contains("Strange") && !mail.contains("Usual") && !mail.contains('\u{202e}'), "{mail}");
    assert!(mail.contains(&format!("{URL}/password")) && !mail.contains("#token="), "{mail}");

    let office = Office::open().await;
    office.say(ids::new_id(), started(true, None)).await;
    assert!(office.mail().await.contains("With: unknown"));

    let office = Office::open().await;
    office.say(ids::new_id(), started(true, Some("Strange/1.0"))).await;
    office.world.sql("delete from vault.data_key").await;
    assert_eq!(office.moot().await, "the person was erased");
}
