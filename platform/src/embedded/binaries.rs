//! Finds the installed PostgreSQL programs. Downloads nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::EmbeddedError;

const SUPPORTED: std::ops::RangeInclusive<u32> = 15..=18;
const DEBIAN: &str = "/usr/lib/postgresql";

/// A folder with `initdb` and `postgres`, and their major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) version: u32,
}

impl Binaries {
    /// `named` (the configuration, then `DOCKET_PG_BIN`) wins; else Debian's, the version of existing data first and the
    /// newest otherwise; else what `pg_config` on the PATH points to.
    pub(super) fn find(named: Option<&Path>, data: Option<(&Path, u32)>) -> Result<Self, EmbeddedError> {
        let named = named
            .map(Path::to_path_buf)
            .or_else(|| std::env::var_os("DOCKET_PG_BIN").filter(|v| !v.is_empty()).map(PathBuf::from));
        let candidates = match named {
            Some(dir) => vec![Self::inspect(dir)?],
            None => Self::installed(Path::new(DEBIAN)),
        };
        Self::choose(candidates, data)
    }

    fn choose(mut candidates: Vec<Self>, data: Option<(&Path, u32)>) -> Result<Self, EmbeddedError> {
        candidates.sort_by_key(|found| found.version);
        let Some(newest) = candidates.last().cloned() else { return Err(EmbeddedError::NoBinaries) };
        match data {
            None => Ok(newest),
            Some((path, version)) => candidates
                .into_iter()
                .find(|found| found.version == version)
                .ok_or_else(|| EmbeddedError::Version { path: path.to_path_buf(), data: version }),
        }
    }

    fn installed(debian: &Path) -> Vec<Self> {
        let mut found: Vec<Self> = std::fs::read_dir(debian)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.parse().ok()?;
                let dir = entry.path().join("bin");
                (SUPPORTED.contains(&version) && complete(&dir)).then_some(Self { dir, version })
            })
            .collect();
        if found.is_empty()
            && let Ok(output) = Command::new("pg_config").arg("--bindir").output()
            && let Ok(dir) = String::from_utf8(output.stdout)
        {
            found.extend(Self::inspect(PathBuf::from(dir.trim())));
        }
        found
    }

    fn inspect(dir: PathBuf) -> Result<Self, EmbeddedError> {
        let bad = |reason: String| EmbeddedError::BadBinaries { path: dir.clone(), reason };
        if !complete(&dir) {
            return Err(bad("`initdb` or `postgres` is missing".to_owned()));
        }
        let output = Command::new(dir.join("postgres"))
            .arg("--version")
            .output()
            .map_err(|error| bad(format!("`postgres --version` failed: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match parse_version(&text) {
            Some(version) if SUPPORTED.contains(&version) => Ok(Self { dir, version }),
            _ => Err(bad(format!("{text:?} is not PostgreSQL 15 to 18"))),
        }
    }
}

fn complete(dir: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| dir.join(program).is_file())
}

/// The major version in `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`.
fn parse_version(text: &str) -> Option<u32> {
    let number = text.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).map_or(number, |end| &number[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: u32) -> Binaries {
        Binaries { dir: PathBuf::from(format!("/pg/{version}")), version }
    }

    #[test]
    fn version_is_read_from_releases_and_betas() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn newest_is_taken_for_new_data_and_the_writer_for_old_data() {
        let data = Path::new("/data");
        assert_eq!(Binaries::choose(vec![at(17), at(15)], None).unwrap(), at(17));
        assert_eq!(Binaries::choose(vec![at(17), at(15)], Some((data, 15))).unwrap(), at(15));
    }

    #[test]
    fn missing_versions_name_the_package() {
        let none = Binaries::choose(vec![], None).unwrap_err().to_string();
        assert!(none.contains("`postgresql-15`"), "{none}");
        let old = Binaries::choose(vec![at(17)], Some((Path::new("/data"), 16))).unwrap_err().to_string();
        assert!(old.contains("`postgresql-16`"), "{old}");
    }
}
