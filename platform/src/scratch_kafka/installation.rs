//! Finds what `script/kafka install` left in the target folder. Downloads nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{IoContext, ScratchKafkaError};

/// The version that `script/kafka.pom.xml` names.
pub(super) const VERSION: &str = "4.3.1";
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/kafka");

/// Kafka's jars and the Java to run them with.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    home: PathBuf,
}

impl Installation {
    pub(super) fn find() -> Result<Self, ScratchKafkaError> {
        Self::at(&Path::new(TARGET).join(VERSION))
    }

    pub(super) fn at(home: &Path) -> Result<Self, ScratchKafkaError> {
        // `java` is a link: one that points nowhere counts as missing.
        for name in ["lib", "java"] {
            if !home.join(name).exists() {
                return Err(ScratchKafkaError::NotInstalled { missing: home.join(name) });
            }
        }
        // The class-data archive is used only where each jar has the path that it had when the archive was made.
        let home = home.canonicalize().at("resolving", home)?;
        Ok(Self { home })
    }

    /// One of Kafka's programs. A small heap, and the first compiler alone: three brokers share the machine with the tests.
    pub(super) fn program(&self, class: &str) -> Command {
        let mut command = quiet(self.home.join("java"));
        command.args(["-Xms32m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        let archive = self.home.join("kafka.jsa");
        if archive.exists() {
            command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        for property in [
            "defaultLogLevel=warn",
            "log.kafka.server.KafkaRaftServer=info",
            "showDateTime=true",
            "dateTimeFormat=HH:mm:ss.SSS",
        ] {
            command.arg(format!("-Dorg.slf4j.simpleLogger.{property}"));
        }
        command.arg("-cp").arg(self.home.join("lib/*")).arg(class);
        command
    }
}

/// A command with nothing inherited but the way to find programs.
pub(super) fn quiet(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_the_script_installs() {
        let pom = include_str!("../../../script/kafka.pom.xml");
        assert!(pom.contains(&format!("<kafka.version>{VERSION}</kafka.version>")));
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_brings_it() {
        let error = Installation::at(Path::new("/nowhere/4.3.1")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/4.3.1/lib is missing") && error.contains("script/bootstrap test"), "{error}");
    }
}
