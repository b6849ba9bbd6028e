//! A certificate authority of one Kafka's own, and the certificate it gives the server. Java reads PEM: no keystore is needed.

use std::path::Path;

use super::error::{IoContext, ScratchKafkaError};
use super::installation::quiet;

const CONFIG: &str = "[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
";

/// Writes `ca.pem` for clients and `server.pem`, key and certificate, for servers on this machine: the brokers, and others in tests.
///
/// # Errors
/// When openssl does not run or the folder cannot be written.
pub fn certificates(folder: &Path) -> Result<(), ScratchKafkaError> {
    let config = folder.join("openssl.cnf");
    std::fs::write(&config, CONFIG).at("writing", &config)?;
    certificate(folder, "authority", &["-keyout", "ca.key", "-out", "ca.pem"])?;
    certificate(
        folder,
        "server",
        &["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.crt"],
    )?;
    let mut pem = Vec::new();
    for name in ["server.key", "server.crt"] {
        let path = folder.join(name);
        pem.append(&mut std::fs::read(&path).at("reading", &path)?);
    }
    let path = folder.join("server.pem");
    std::fs::write(&path, pem).at("writing", &path)
}

fn certificate(folder: &Path, kind: &str, files: &[&str]) -> Result<(), ScratchKafkaError> {
    let output = quiet("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-config", "openssl.cnf", "-extensions", kind, "-subj", &format!("/CN=docket {kind}")])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
        .args(files)
        .stderr(std::process::Stdio::piped())
        .output()
        .at("running openssl in", folder)?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ScratchKafkaError::Program { program: "making a certificate with openssl", output })
}
