//! Apicurio Registry, a Schema Registry that speaks the REST API of Confluent's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kafka::BRIEF_LIFE;
use crate::ports::free_port;
use crate::process::{Process, cache, data_dir};
use crate::wait::check;

/// A cold start on a machine that has much else to do.
const START: Duration = Duration::from_secs(300);

/// Where the API of Confluent's is.
pub const PATH: &str = "/apis/ccompat/v7";

/// A registry that runs; dropping it kills it. An id is of one version of one subject: the same
/// schema has another one under another subject, so that one registry can be two.
#[derive(Debug)]
pub struct SchemaRegistry {
    port: u16,
    process: Process,
}

impl SchemaRegistry {
    /// Starts a registry without schemas.
    ///
    /// # Panics
    /// When it is not there (`make setup` fetches it) or doesn't come up.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let dir = data_dir(name);
        let port = free_port();
        let mut command = Command::new("java");
        command
            .arg("-Xmx256m")
            .args(BRIEF_LIFE)
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={port}"))
            .arg("-Dapicurio.ccompat.legacy-id-mode.enabled=true")
            .arg("-jar")
            .arg(program())
            .current_dir(&dir);
        let process = Process::start("Apicurio Registry", command, &dir.join("log"));
        let mut registry = Self { port, process };
        let server = registry.server();
        registry.process.until_ready(START, || {
            let (status, body) = exchange(server, "GET", &format!("{PATH}/schemas/types"), None)?;
            check(status == 200, || format!("{status}: {body}"))
        });
        registry
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Registers a schema, and gives its id. `schema` has the members of the request: `schema`,
    /// `schemaType` and `references`.
    ///
    /// # Panics
    /// When the registry refuses.
    pub fn register(&self, subject: &str, schema: &Value) -> u32 {
        let path = format!("/subjects/{subject}/versions");
        id(subject, &self.ask("POST", &path, Some(schema)))
    }

    /// The schema with an id, as the registry tells it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn schema(&self, id: u32) -> Value {
        self.ask("GET", &format!("/schemas/ids/{id}"), None)
    }

    /// The id of a version of a subject.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn id(&self, subject: &str, version: u32) -> u32 {
        let path = format!("/subjects/{subject}/versions/{version}");
        id(subject, &self.ask("GET", &path, None))
    }

    /// The versions that a subject has.
    ///
    /// # Panics
    /// When there is no such subject.
    #[must_use]
    pub fn versions(&self, subject: &str) -> Value {
        self.ask("GET", &format!("/subjects/{subject}/versions"), None)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let path = format!("{PATH}{path}");
        let (status, text) = exchange(self.server(), method, &path, body)
            .unwrap_or_else(|cause| panic!("{method} {path}: {cause}"));
        assert_eq!(200, status, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|_| json!(text))
    }

    fn server(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

fn id(subject: &str, answer: &Value) -> u32 {
    let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    id.unwrap_or_else(|| panic!("{subject}: {answer}"))
}

/// Where `scripts/setup-tests` puts it.
fn program() -> PathBuf {
    let program = cache().join("registry/apicurio-registry-app-3.0.9-runner.jar");
    assert!(
        program.is_file(),
        "{} is missing: `make setup` fetches Apicurio Registry",
        program.display()
    );
    program
}

/// The least of HTTP: one exchange on a connection that the server closes.
fn exchange(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, String), String> {
    let text = |cause: std::io::Error| cause.to_string();
    let mut stream = TcpStream::connect(server).map_err(text)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .map_err(text)?;
    let body = body.map(ToString::to_string).unwrap_or_default();
    // Of HTTP/1.0, so that nothing comes in chunks.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: {server}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n");
    let body = body.map(|(_, body)| body.to_owned());
    status
        .zip(body)
        .ok_or_else(|| format!("no HTTP: {answer:?}"))
}
