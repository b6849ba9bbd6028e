//! `docker-compose.yml`, as compose itself renders it: what each service must have, and that the services work together. No
//! container engine is needed: their commands run as processes here, with the variables that the file gives them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use docket_platform::clock;
use docket_platform::embedded::{OWNER, ScratchCluster};
use docket_platform::scratch_kafka::ScratchKafka;
use serde::Deserialize;
use serde_json::{Value, json};
use totp_rs::Totp;

use super::server::{Client, Credentials, Folder, Server, docket, done, eventually};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const ADMIN_PASSWORD: &str = "never-in-a-real-env-file";
/// Compose is a Python program where it renders YAML only, so what can read YAML is beside it.
const YAML_TO_JSON: &str = "import sys, json, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
const ROLES: [&str; 4] = ["command-api", "relay", "projector", "query-api"];

#[derive(Debug, Deserialize)]
struct File {
    services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    image: String,
    user: Option<String>,
    command: Option<Vec<String>>,
    #[serde(default)]
    environment: BTreeMap<String, Value>,
    healthcheck: Option<Value>,
    restart: Option<String>,
    mem_limit: Option<Value>,
    cpus: Option<Value>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Value>,
}

impl Service {
    fn is_docket(&self) -> bool {
        self.image.starts_with("docket:")
    }

    fn waits_for(&self, service: &str) -> Option<&str> {
        self.depends_on.get(service)?["condition"].as_str()
    }

    fn variable(&self, name: &str) -> String {
        match &self.environment[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// The file with all variables filled in; none, with the reason printed, where there is no compose.
fn rendered() -> Option<File> {
    let mut compose = Command::new("docker-compose");
    compose.args(["--env-file", ".env.example", "config"]).current_dir(ROOT);
    compose.env("POSTGRES_PASSWORD", "owner-secret").env("DOCKET_SERVICE_PASSWORD", "service-secret");
    let compose = compose.env("DOCKET_ADMIN_PASSWORD", ADMIN_PASSWORD).output();
    let Ok(compose) = compose else {
        println!("skipped: there is no docker-compose, script/bootstrap test installs it");
        return None;
    };
    assert!(compose.status.success(), "{}", String::from_utf8_lossy(&compose.stderr));
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", YAML_TO_JSON]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().expect("compose is written in it");
    std::io::Write::write_all(&mut python.stdin.take().expect("piped"), &compose.stdout).expect("it reads");
    let json = python.wait_with_output().expect("it ends");
    Some(serde_json::from_slice(&json.stdout).expect("the services"))
}

#[test]
fn every_service_is_pinned_bounded_watched_and_not_root() {
    let Some(file) = rendered() else { return };
    let names: Vec<_> = file.services.keys().map(String::as_str).collect();
    assert_eq!(names, ["command-api", "kafka", "migrate", "postgres", "projector", "query-api", "relay"]);
    for (name, service) in &file.services {
        let tag = service.image.split_once(':').map_or("", |(_, tag)| tag);
        assert!(tag.split('.').count() > 1 && tag.starts_with(|c: char| c.is_ascii_digit()), "{name}: {tag}");
        assert!(service.mem_limit.is_some() && service.cpus.is_some(), "{name} has no limits");
        let user = service.user.as_deref().unwrap_or("0");
        assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{name} runs as {user}");
        for port in &service.ports {
            assert!(port.starts_with("127.0.0.1:"), "{name} is open to everybody: {port}");
        }
        let test = service.healthcheck.as_ref().map(|check| check["test"].clone());
        let once = name == "migrate";
        assert_eq!(service.restart.as_deref(), Some(if once { "no" } else { "unless-stopped" }), "{name}");
        match test {
            // The image's own check is turned off: what ends is not asked whether it is well.
            Some(test) if once => assert_eq!(test, serde_json::json!(["NONE"]), "{name}"),
            None | Some(Value::Null) => panic!("{name} has no health check"),
            Some(test) if service.is_docket() => assert_eq!(test, serde_json::json!(["CMD", "docket", "health"])),
            Some(_) => {}
        }
    }
}

#[test]
fn versions_are_those_of_this_checkout() {
    let Some(file) = rendered() else { return };
    for service in file.services.values().filter(|service| service.is_docket()) {
        assert_eq!(service.image, concat!("docket:", env!("CARGO_PKG_VERSION")));
    }
    let pom = include_str!("../../../script/kafka.pom.xml");
    let kafka = file.services["kafka"].image.strip_prefix("apache/kafka:").expect("Kafka's own image");
    assert!(
        pom.contains(&format!("<kafka.version>{kafka}</kafka.version>")),
        "tests run on another Kafka than {kafka}"
    );
    assert_eq!(file.services["kafka"].variable("KAFKA_AUTO_CREATE_TOPICS_ENABLE"), "false");
}

#[test]
fn roles_start_after_the_migration_and_only_the_migration_is_the_owner() {
    let Some(file) = rendered() else { return };
    let migrate = &file.services["migrate"];
    assert!(migrate.variable("DATABASE_URL").starts_with("postgres://docket:owner-secret@"));
    for role in ROLES {
        let service = &file.services[role];
        assert_eq!(service.waits_for("migrate"), Some("service_completed_successfully"), "{role}");
        assert_eq!(service.waits_for("postgres"), Some("service_healthy"), "{role}");
        assert!(service.variable("DATABASE_URL").starts_with("postgres://docket_service:service-secret@"), "{role}");
    }
    for name in ["migrate", "relay", "projector"] {
        assert_eq!(file.services[name].waits_for("kafka"), Some("service_healthy"), "{name}");
    }
}

#[test]
fn every_variable_is_a_setting() {
    let Some(file) = rendered() else { return };
    let known: Vec<Value> = serde_json::from_str(&done(&["config", "--json"])).expect("JSON");
    let mut known: Vec<_> = known.iter().map(|setting| setting["name"].as_str().expect("a name")).collect();
    // Whether a role does the relay's work is no setting of `docket up`, which `docket config` shows.
    known.push("DOCKET_WITH_RELAY");
    for (name, service) in file.services.iter().filter(|(_, service)| service.is_docket()) {
        for variable in service.environment.keys() {
            assert!(known.contains(&variable.as_str()), "{name}: docket knows no {variable}");
            let command = service.command.as_ref().expect("a command")[0].as_str();
            let help = done(&[command, "--help"]);
            assert!(help.contains(&format!("[env: {variable}")), "{name}: docket {command} knows no {variable}");
        }
    }
}

/// A database as PostgreSQL's image makes it, and who is asked for where the file says `postgres`.
struct Site {
    cluster: ScratchCluster,
    kafka: &'static ScratchKafka,
    topics: String,
}

impl Site {
    /// None, with the reason printed, where there is no psql to read what the image reads.
    fn make() -> Option<Self> {
        let cluster = ScratchCluster::start().expect("a cluster");
        let mut psql = Command::new("psql");
        psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-h"]).arg(socket(&cluster)).args(["-U", OWNER, "-d", "postgres"]);
        // The image's cluster has no role yet.
        psql.args(["-c", "drop role docket_writer, docket_projector, docket_reader", "-c", "create database compose"]);
        psql.arg("-f").arg(Path::new(ROOT).join("deploy/compose/roles.sql"));
        let Ok(said) = psql.env("DOCKET_SERVICE_PASSWORD", "service-secret").output() else {
            println!("skipped: there is no psql");
            return None;
        };
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let topics = format!("compose-{}", std::process::id());
        Some(Self { cluster, kafka: ScratchKafka::shared(), topics })
    }

    /// The service's command with its variables, and our hosts in place of the file's.
    fn command(&self, service: &Service) -> Command {
        let arguments: Vec<_> = service.command.iter().flatten().map(String::as_str).collect();
        self.tool(service, &arguments)
    }

    /// Another command in the service's place, as `docker compose run` takes it.
    fn tool(&self, service: &Service, arguments: &[&str]) -> Command {
        let mut command = docket(arguments);
        for name in service.environment.keys() {
            let value = service.variable(name);
            let value = match name.as_str() {
                "DATABASE_URL" => {
                    let user = if value.contains("//docket:") { OWNER } else { "docket_service" };
                    format!("postgres:///compose?host={}&user={user}", socket(&self.cluster))
                }
                "KAFKA_BROKERS" => self.kafka.bootstrap(),
                _ => value,
            };
            command.env(name, value);
        }
        // The image's own setting, and one that keeps other tests' events apart.
        command.env("DOCKET_LISTEN", "127.0.0.1:0").env("DOCKET_KAFKA_TOPIC_PREFIX", &self.topics);
        command
    }
}

fn socket(cluster: &ScratchCluster) -> String {
    let options = cluster.connect_options(OWNER, "postgres");
    options.get_socket().expect("a cluster of ours listens on a socket").display().to_string()
}

/// Somebody who sets up the second factor that is demanded of administrators here, and logs in with it.
async fn with_second_factor(url: &str, who: &Credentials) -> Client {
    let first = Client::login(url, who).await;
    let refused = first.ask(url, "without a second factor").await;
    assert_eq!(refused.json::<Value>().await.expect("JSON")["code"], "second_factor_required");
    let auth = |path: &str| format!("{url}/api/v1/auth/{path}");
    let offer = first.post(auth("mfa"), &json!({ "password": who.password })).await;
    let offer: Value = offer.json().await.expect("JSON");
    let app = Totp::from_url(offer["otpauth_url"].as_str().expect("a URL")).expect("an app takes it");
    let now = u64::try_from(clock::now().timestamp()).expect("after 1970");
    let code = |time: u64| app.generate(time).to_string();
    let confirmed = first.post(auth("mfa/confirm"), &json!({ "code": code(now - 30) })).await;
    assert_eq!(confirmed.status(), 200);
    let body = json!({ "email": who.email, "password": who.password, "code": code(now) });
    let answer: Value = first.post(auth("login"), &body).await.json().await.expect("JSON");
    Client::with(answer["access_token"].as_str().expect("a token"))
}

#[tokio::test]
async fn the_services_work_together() {
    let Some(file) = rendered() else { return };
    let Some(site) = tokio::task::spawn_blocking(Site::make).await.expect("a site") else { return };
    let folder = Folder::new();
    // A one-shot service may be run again.
    for _ in 0..2 {
        let migrated = site.command(&file.services["migrate"]).output().expect("it runs");
        let (said, error) = (String::from_utf8_lossy(&migrated.stdout), String::from_utf8_lossy(&migrated.stderr));
        assert!(migrated.status.success() && said.contains("log           kafka"), "{said}{error}");
        assert!(!said.contains(ADMIN_PASSWORD), "{said}");
    }
    let servers: Vec<Server> =
        ROLES.iter().map(|role| Server::launch(&folder, &mut site.command(&file.services[*role]))).collect();
    for server in &servers {
        assert!(done(&["health", "--url", &server.url]).starts_with("ready"));
    }
    let [commands, .., queries] = servers.as_slice() else { panic!("four roles") };
    let admin = Credentials { email: "admin@docket.local".to_owned(), password: ADMIN_PASSWORD.to_owned() };
    let client = with_second_factor(&commands.url, &admin).await;
    let asked: Value = client.ask(&commands.url, "through compose").await.json().await.expect("JSON");
    // Only by the relay and Kafka can it come there.
    let path = format!("{}/api/v1/consultations/{}", queries.url, asked["id"].as_str().expect("an id"));
    eventually("it is read", async || (client.get(path.clone()).await.status() == 200).then_some(())).await;
    for tool in [&["status", "--check"][..], &["rebuild", "identity", "--from", "kafka"], &["replay"]] {
        let output = site.tool(&file.services["migrate"], tool).output().expect("it runs");
        assert!(output.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for server in servers {
        assert!(server.stop().0.success());
    }
}
