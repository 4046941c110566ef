//! BIND 9: authoritative for some zones, updated with TSIG, and a resolver for this machine.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ports::free_port;
use crate::process::{Process, data_dir};

/// A start on a busy machine.
const START: Duration = Duration::from_secs(30);

/// The TSIG key that may change everything in the zones, as BIND's file names it.
pub const KEY_NAME: &str = "ddns-key";

/// A running name server; dropping it kills it.
#[derive(Debug)]
pub struct Bind {
    dir: PathBuf,
    port: u16,
    zones: Vec<String>,
    process: Process,
}

impl Bind {
    /// Starts a server with these zones, signed and updatable. Each begins with a SOA, an NS and
    /// an A record for `ns`, and the lines of `records` (in master-file form, names relative to
    /// the zone). Negative answers live a second.
    ///
    /// # Panics
    /// When BIND is not installed (`make setup` does it) or does not answer.
    #[must_use]
    pub fn start(name: &str, zones: &[(&str, &str)]) -> Self {
        let dir = data_dir(name);
        let port = free_port();
        write_key(&dir);
        for (zone, records) in zones {
            fs::write(dir.join(zone), zone_file(records)).unwrap();
        }
        let zones: Vec<String> = zones.iter().map(|(zone, _)| (*zone).to_owned()).collect();
        fs::write(dir.join("named.conf"), configuration(&dir, port, &zones)).unwrap();
        let process = launch(&dir, port, &zones);
        Self {
            dir,
            port,
            zones,
            process,
        }
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The file with the TSIG key, in BIND's form.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.dir.join("ddns.key")
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again on the same port and zones, after [`Bind::kill9`].
    ///
    /// # Panics
    /// When it does not answer.
    pub fn restart(&mut self) {
        self.process = launch(&self.dir, self.port, &self.zones);
    }

    /// Asks for records with `dig`, following nothing; one line each, in their text form.
    ///
    /// # Panics
    /// When the server does not answer at all.
    #[must_use]
    pub fn query(&self, name: &str, kind: &str) -> Vec<String> {
        dig(self.port, &["+short", name, kind]).expect("the name server does not answer")
    }

    /// Every record of a zone by transfer, without DNSSEC's own: what somebody has left there.
    ///
    /// # Panics
    /// When the transfer is refused.
    #[must_use]
    pub fn zone(&self, zone: &str) -> Vec<String> {
        let lines = dig(self.port, &["+noall", "+answer", zone, "AXFR"])
            .expect("the name server does not answer");
        assert!(!lines.is_empty(), "the transfer of {zone} is refused");
        lines.into_iter().filter(|line| !is_dnssec(line)).collect()
    }
}

fn is_dnssec(line: &str) -> bool {
    const OWN: [&str; 8] = [
        "RRSIG",
        "NSEC",
        "NSEC3",
        "NSEC3PARAM",
        "DNSKEY",
        "CDS",
        "CDNSKEY",
        "TYPE65534",
    ];
    line.split_whitespace()
        .nth(3)
        .is_some_and(|kind| OWN.contains(&kind))
}

/// Runs `dig` against the port; an error where nobody answers.
fn dig(port: u16, question: &[&str]) -> Result<Vec<String>, String> {
    let done = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port.to_string(), "+tries=2", "+time=2"])
        .args(question)
        .output()
        .expect("dig is missing: `make setup` installs it");
    let text = String::from_utf8_lossy(&done.stdout);
    if !done.status.success() {
        return Err(text.into_owned());
    }
    let lines = text.lines().filter(|line| !line.starts_with(';'));
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

fn write_key(dir: &Path) {
    let key = Command::new(sbin("tsig-keygen"))
        .args(["-a", "hmac-sha256", KEY_NAME])
        .output()
        .expect("tsig-keygen is missing: `make setup` installs it");
    fs::write(dir.join("ddns.key"), key.stdout).unwrap();
}

fn zone_file(records: &str) -> String {
    format!("$TTL 60\n@ SOA ns hostmaster 1 60 60 3600 1\n@ NS ns\nns A 127.0.0.1\n{records}\n")
}

fn configuration(dir: &Path, port: u16, zones: &[String]) -> String {
    let mut text = format!(
        r#"
include "{dir}/ddns.key";
options {{
  directory "{dir}"; pid-file "{dir}/named.pid"; session-keyfile "{dir}/session.key";
  managed-keys-directory "{dir}"; lock-file none;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion yes; allow-recursion {{ 127.0.0.0/8; }}; allow-query {{ 127.0.0.0/8; }};
  allow-transfer {{ 127.0.0.0/8; }}; dnssec-validation no; max-ncache-ttl 1;
  tcp-clients 1000;
}};
controls {{ }};
"#,
        dir = dir.display(),
    );
    for zone in zones {
        writeln!(
            text,
            r#"zone "{zone}" {{ type primary; file "{dir}/{zone}"; dnssec-policy default; inline-signing no; key-directory "{dir}"; update-policy {{ grant {KEY_NAME} zonesub ANY; }}; }};"#,
            dir = dir.display(),
        )
        .unwrap();
    }
    text
}

fn launch(dir: &Path, port: u16, zones: &[String]) -> Process {
    let mut command = Command::new(sbin("named"));
    command
        .args(["-g", "-n", "1", "-c"])
        .arg(dir.join("named.conf"));
    command.stdin(Stdio::null());
    let mut process = Process::start("BIND", command, &dir.join("named.log"));
    for zone in zones {
        process.until_ready(START, || {
            let soa = dig(port, &["+short", zone, "SOA"])?;
            crate::wait::check(!soa.is_empty(), || format!("{zone} is not loaded"))
        });
    }
    process
}

/// Debian keeps servers where a user's `PATH` does not look.
fn sbin(program: &str) -> PathBuf {
    let there = Path::new("/usr/sbin").join(program);
    if there.exists() {
        there
    } else {
        PathBuf::from(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nsupdate(bind: &Bind, change: &str) {
        let script = format!("server 127.0.0.1 {}\n{change}\nsend\n", bind.port);
        let file = bind.dir.join("change");
        fs::write(&file, script).unwrap();
        let done = Command::new("nsupdate")
            .arg("-k")
            .arg(bind.key_file())
            .arg(file)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    #[test]
    fn a_signed_update_survives_kill9() {
        let mut bind = Bind::start("bind", &[("flows.example", "www A 127.0.0.9")]);
        assert_eq!(["127.0.0.9"], *bind.query("www.flows.example", "A"));
        nsupdate(&bind, "update add new.flows.example 60 A 127.0.0.8");
        bind.kill9();
        bind.restart();
        assert_eq!(["127.0.0.8"], *bind.query("new.flows.example", "A"));
        let zone = bind.zone("flows.example").join("\n");
        assert!(zone.contains("new.flows.example"), "{zone}");
        assert!(!zone.contains("RRSIG"), "{zone}");
    }
}
