//! The Dockerfile, read without an engine: what it copies is there, and what it names is what the checkout uses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The instructions, continued lines joined: the keyword and the rest.
fn instructions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("Dockerfile")).expect("a Dockerfile");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    let joined = lines.replace("\\\n", " ");
    let split = joined.lines().filter_map(|line| line.trim().split_once(' '));
    split.map(|(keyword, rest)| (keyword.to_owned(), rest.trim().to_owned())).collect()
}

fn arguments(keyword: &str) -> Vec<String> {
    instructions().into_iter().filter(|(name, _)| name == keyword).map(|(_, rest)| rest).collect()
}

/// What is copied from the checkout.
fn copied() -> Vec<PathBuf> {
    let from_here = arguments("COPY").into_iter().filter(|rest| !rest.starts_with("--from="));
    let sources = from_here.flat_map(|rest| {
        let mut words: Vec<_> = rest.split_whitespace().map(PathBuf::from).collect();
        words.pop();
        words
    });
    sources.collect()
}

/// Whether .dockerignore keeps a path out: the last line that fits it, or a folder above it, decides.
fn ignored(path: &Path) -> bool {
    let text = std::fs::read_to_string(Path::new(ROOT).join(".dockerignore")).expect("a .dockerignore");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut out = false;
    for line in lines {
        let (pattern, verdict) = line.strip_prefix('!').map_or((line, true), |pattern| (pattern, false));
        let fits = path.ancestors().filter(|above| !above.as_os_str().is_empty()).any(|above| match pattern {
            "*" => true,
            _ => pattern.strip_prefix("**/").map_or(above == Path::new(pattern), |name| above.ends_with(name)),
        });
        if fits {
            out = verdict;
        }
    }
    out
}

#[test]
fn what_is_copied_exists_and_is_not_kept_out() {
    let copied = copied();
    assert!(copied.len() > 10, "{copied:?}");
    for path in copied {
        assert!(Path::new(ROOT).join(&path).exists(), "{} is not there", path.display());
        assert!(!ignored(&path), ".dockerignore keeps {} out", path.display());
    }
}

#[test]
fn the_whole_workspace_is_copied_and_nothing_secret_or_heavy() {
    let copied = copied();
    let manifest = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("a manifest");
    let members = manifest.lines().find(|line| line.starts_with("members")).expect("members");
    for member in members.split('"').skip(1).step_by(2) {
        assert!(copied.contains(&PathBuf::from(member)), "{member} is a member, and not copied");
    }
    for out in [".env", ".git", "target", ".docket", ".kafka", "console/node_modules/x", "console/dist", "LICENSE"] {
        assert!(ignored(Path::new(out)), "{out} is sent to the engine");
    }
}

#[test]
fn bases_are_pinned_to_what_the_checkout_uses_and_the_last_stage_is_not_root() {
    let bases = arguments("FROM");
    for base in &bases {
        let tag = base.split_whitespace().next().and_then(|image| image.split_once(':')).map_or("", |(_, tag)| tag);
        assert!(tag.split('.').count() > 1 && tag.starts_with(|c: char| c.is_ascii_digit()), "{base}");
    }
    let toolchain = include_str!("../../../rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).expect("a channel");
    assert!(bases.contains(&format!("rust:{}-bookworm AS build", channel.trim_matches('"'))), "{bases:?}: {channel}");

    let all = instructions();
    let last = all.iter().rposition(|(name, _)| name == "FROM").expect("a stage");
    let of_last: BTreeMap<_, _> = all[last..].iter().map(|(name, rest)| (name.as_str(), rest.as_str())).collect();
    let user = of_last["USER"].split(':').next().expect("a user");
    assert!(user.parse::<u32>().is_ok_and(|id| id > 0), "{user}");
    assert!(of_last["HEALTHCHECK"].ends_with(r#"CMD ["docket", "health"]"#), "{}", of_last["HEALTHCHECK"]);
    let version = concat!("image.version=\"", env!("CARGO_PKG_VERSION"), "\"");
    assert!(of_last["LABEL"].contains(version), "the label names another version");
}

#[test]
fn the_libraries_of_the_program_are_in_the_image() {
    // Debian's names; the last two are in every image of Debian.
    let packages = [
        ("libssl.so.3", "libssl3"),
        ("libcrypto.so.3", "libssl3"),
        ("libz.so.1", "zlib1g"),
        ("libgcc_s.so.1", "debian"),
        ("libc.so.6", "debian"),
        ("libm.so.6", "debian"),
        ("ld-linux", "debian"),
        ("linux-vdso.so.1", "debian"),
    ];
    let Ok(listed) = Command::new("ldd").arg(env!("CARGO_BIN_EXE_docket")).output() else {
        println!("skipped: there is no ldd");
        return;
    };
    let installed = arguments("RUN").pop().expect("the last stage installs");
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = line.split_whitespace().next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let package = packages.iter().find(|(library, _)| name.starts_with(library)).map(|(_, package)| *package);
        let package = package.unwrap_or_else(|| panic!("no package is known for {name}"));
        let there = package == "debian" || installed.split_whitespace().any(|word| word == package);
        assert!(there, "{name} needs {package}, which is not installed");
    }
}
