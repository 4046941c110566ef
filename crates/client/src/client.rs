//! One session with an FNAA.

use eson_protocol::text::{format_command, parse_data_line, parse_status};
use eson_protocol::{Code, Command, DataLine, Reply, Status};

use crate::connection::Connection;
use crate::exchange::Event;
use crate::lines::Lines;
use crate::{Address, ClientError, ConnectOptions};

/// The most octets of one reply's data.
const MAX_REPLY: usize = 64 * 1024 * 1024;

/// How many octets of commands may be under way without an answer. Any socket takes so many at
/// once, so that sending never waits for a server that waits for us to read.
const PIPELINE: usize = 16 * 1024;

/// One session with an FNAA.
///
/// Calls are not cancel-safe unless they say so: a call that is dropped leaves replies on the
/// way, so every later call fails with [`ClientError::Interrupted`] instead of taking one
/// command's reply for another's. The same holds after any error but [`ClientError::Refused`]
/// and [`ClientError::Unsendable`].
pub struct Client {
    pub(crate) connection: Connection,
    lines: Lines,
    /// Whether replies are on the way that nobody waits for any more.
    interrupted: bool,
    allow_plaintext: bool,
    fqdn: String,
}

impl Client {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// [`ClientError::Dial`], [`ClientError::Socket`] and [`ClientError::Tls`] without a
    /// connection; [`ClientError::Refused`] when the server has no room;
    /// [`ClientError::Protocol`] when the greeting is none.
    pub async fn connect(address: &Address, options: &ConnectOptions) -> Result<Self, ClientError> {
        let mut client = Self {
            connection: Connection::open(address, options).await?,
            lines: Lines::default(),
            interrupted: false,
            allow_plaintext: options.allow_plaintext,
            fqdn: String::new(),
        };
        let greeting = accepted(client.status("the connection").await?)?;
        client.fqdn = match greeting.text.split_once(' ') {
            Some((fqdn, "FNAA")) if greeting.code == Code::Ok.number() => fqdn.to_owned(),
            _ => return Err(client.broken("its greeting is not `220 fqdn FNAA`")),
        };
        Ok(client)
    }

    /// The server's own name, as its greeting says. Nothing proves it but TLS.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.fqdn
    }

    /// Sends a command and waits for its reply.
    ///
    /// Not for AUTHENTICATE, STARTTLS, READ FLOW, WRITE FLOW and QUIT, which are more than a
    /// command and a reply: they have calls of their own.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with an error status, and everything that a connection can meet.
    pub async fn command(&mut self, command: &Command) -> Result<Reply, ClientError> {
        let line = plain_line(command)?;
        self.begin()?;
        self.send_line(&line).await?;
        let reply = self.reply(&line).await?;
        self.end();
        accepted_reply(reply)
    }

    /// Sends commands without waiting in between, and gives the reply, or the status that
    /// refuses, of each in their order. The same commands as for [`Client::command`] are taken.
    ///
    /// # Errors
    /// What breaks the connection; then it is not known which commands were carried out.
    pub async fn commands(
        &mut self,
        commands: &[Command],
    ) -> Result<Vec<Result<Reply, Status>>, ClientError> {
        let lines = commands.iter().map(plain_line);
        let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
        self.begin()?;
        let mut replies = Vec::with_capacity(lines.len());
        let (mut sent, mut under_way) = (0, 0);
        while replies.len() < lines.len() {
            let mut bytes = Vec::new();
            while sent < lines.len() && (under_way == 0 || under_way < PIPELINE) {
                self.write_line(&mut bytes, &lines[sent]);
                under_way += lines[sent].len();
                sent += 1;
            }
            if !bytes.is_empty() {
                self.connection.send(&bytes).await?;
            }
            let answered = &lines[replies.len()];
            let reply = self.reply(answered).await?;
            under_way -= answered.len();
            replies.push(judged(reply));
        }
        self.end();
        Ok(replies)
    }

    /// Ends the session in order. Whatever goes wrong now is of no consequence: everything that
    /// was answered is done.
    pub async fn quit(mut self) {
        let bye = async {
            self.begin()?;
            self.send_line("QUIT").await?;
            self.status("QUIT").await
        };
        if let Err(cause) = bye.await {
            tracing::debug!(%cause, "QUIT");
        }
        self.connection.close().await;
    }

    pub(crate) fn may_send_secrets(&self) -> bool {
        self.allow_plaintext || self.connection.is_confidential()
    }

    /// Begins an exchange; until [`Client::end`] the session counts as interrupted.
    pub(crate) fn begin(&mut self) -> Result<(), ClientError> {
        if self.interrupted {
            return Err(ClientError::Interrupted {
                server: self.connection.server().to_owned(),
            });
        }
        self.interrupted = true;
        Ok(())
    }

    /// Everything that was sent is answered.
    pub(crate) fn end(&mut self) {
        self.interrupted = false;
    }

    pub(crate) async fn send_line(&mut self, line: &str) -> Result<(), ClientError> {
        let mut bytes = Vec::with_capacity(line.len() + 2);
        self.write_line(&mut bytes, line);
        self.connection.send(&bytes).await
    }

    fn write_line(&self, bytes: &mut Vec<u8>, line: &str) {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        let octets = line.len() + 2;
        self.connection.observe(Event::Sent { line, octets });
    }

    /// The reply to `command`, whatever it says.
    async fn reply(&mut self, command: &str) -> Result<Reply, ClientError> {
        let status = self.status(command).await?;
        if !begins_data(&status) {
            return Ok(Reply::Status(status));
        }
        let (mut lines, mut octets) = (Vec::new(), 0);
        loop {
            let line = self.line(command).await?;
            octets += line.len();
            if octets > MAX_REPLY {
                return Err(self.broken(format!("its reply is longer than {MAX_REPLY} octets")));
            }
            match parse_data_line(&line) {
                Ok(line) => {
                    self.observe_data(&line);
                    lines.push(line);
                }
                Err(status) => {
                    self.connection.observe(Event::Received(&line));
                    return Ok(Reply::Data(lines, status));
                }
            }
        }
    }

    fn observe_data(&self, line: &DataLine) {
        let shown = match line {
            DataLine::Attribute(key, _) if key == "password" => "password=****".to_owned(),
            DataLine::Attribute(key, value) => format!("{key}={value}"),
            DataLine::Text(text) => text.clone(),
        };
        self.connection.observe(Event::Received(&shown));
    }

    /// A status line, whatever it says.
    pub(crate) async fn status(&mut self, what: &str) -> Result<Status, ClientError> {
        let line = self.line(what).await?;
        let status = parse_status(&line).map_err(|cause| self.broken(cause))?;
        if status.code == Code::Challenge.number() {
            self.connection.observe(Event::Received("334 ****"));
        } else {
            self.connection.observe(Event::Received(&line));
        }
        Ok(status)
    }

    /// A line, within the time-out. Cancel-safe.
    pub(crate) async fn line(&mut self, what: &str) -> Result<String, ClientError> {
        loop {
            if let Some(line) = self.arrived_line()? {
                return Ok(line);
            }
            let buffer = &mut self.lines.buffer;
            self.connection.receive(buffer, what).await?;
        }
    }

    /// A line, however long it takes. Cancel-safe.
    pub(crate) async fn line_patiently(&mut self) -> Result<String, ClientError> {
        loop {
            if let Some(line) = self.arrived_line()? {
                return Ok(line);
            }
            let buffer = &mut self.lines.buffer;
            self.connection.receive_patiently(buffer).await?;
        }
    }

    fn arrived_line(&mut self) -> Result<Option<String>, ClientError> {
        self.lines.next().map_err(|cause| self.broken(cause))
    }

    pub(crate) fn broken(&self, cause: impl ToString) -> ClientError {
        ClientError::Protocol {
            server: self.connection.server().to_owned(),
            cause: cause.to_string(),
        }
    }
}

/// Whether data lines follow: what `220 DATA` says.
pub(crate) fn begins_data(status: &Status) -> bool {
    status.code == Code::Ok.number() && status.text == "DATA"
}

/// An error status as an error.
pub(crate) fn accepted(status: Status) -> Result<Status, ClientError> {
    match status.code {
        400.. => Err(ClientError::Refused(status)),
        _ => Ok(status),
    }
}

fn judged(reply: Reply) -> Result<Reply, Status> {
    match reply {
        Reply::Status(status) | Reply::Data(_, status) if status.code >= 400 => Err(status),
        reply => Ok(reply),
    }
}

fn accepted_reply(reply: Reply) -> Result<Reply, ClientError> {
    judged(reply).map_err(ClientError::Refused)
}

pub(crate) fn line_of(command: &Command) -> Result<String, ClientError> {
    format_command(command).map_err(|cause| ClientError::Unsendable(cause.to_string()))
}

fn plain_line(command: &Command) -> Result<String, ClientError> {
    match command {
        Command::Authenticate { .. }
        | Command::StartTls
        | Command::ReadFlow(..)
        | Command::WriteFlow { .. }
        | Command::Quit => Err(ClientError::Unsendable(format!(
            "{command} is more than a command and a reply; it has a call of its own"
        ))),
        _ => line_of(command),
    }
}
