//! One session with an FNAA.

use std::collections::VecDeque;

use eson_protocol::session::{ClientEvent, ClientSession, Limits, SendError};
use eson_protocol::text::{format_data_line, format_status};
use eson_protocol::{Command, DataLine, Reply, Status};

use crate::connection::Connection;
use crate::exchange::Event;
use crate::{Address, ClientError, ConnectOptions, Stream};

/// The most octets of one reply's data, as it is kept in memory.
const MAX_REPLY: usize = 64 * 1024 * 1024;

/// How many octets of commands may be under way without an answer. Any socket takes so many at
/// once, so that sending never waits for a server that waits for us to read.
const PIPELINE: usize = 16 * 1024;

/// One session with an FNAA.
///
/// Calls are not cancel-safe unless they say so: a call that is dropped leaves replies on the
/// way, so every later call fails with [`ClientError::Interrupted`] instead of taking one
/// command's reply for another's. The same holds after any error but [`ClientError::Refused`],
/// [`ClientError::Unsendable`] and [`ClientError::Plaintext`].
pub struct Client {
    pub(crate) connection: Connection,
    pub(crate) session: ClientSession,
    allow_plaintext: bool,
    server_name: Option<String>,
}

impl Client {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// [`ClientError::Dial`], [`ClientError::Socket`] and [`ClientError::Tls`] without a
    /// connection; [`ClientError::Refused`] when the server has no room;
    /// [`ClientError::Protocol`] when the greeting is none.
    pub async fn connect(address: &Address, options: &ConnectOptions) -> Result<Self, ClientError> {
        Self::greeted(Connection::open(address, options).await?, options).await
    }

    /// Speaks over a stream that is there, and reads the greeting. `server` is for messages;
    /// `confidential` says that nobody can read along, so that passwords may be sent.
    ///
    /// # Errors
    /// As for [`Client::connect`].
    pub async fn over(
        stream: Box<dyn Stream>,
        server: &str,
        confidential: bool,
        options: &ConnectOptions,
    ) -> Result<Self, ClientError> {
        let connection = Connection::over(stream, server.to_owned(), confidential, options);
        Self::greeted(connection, options).await
    }

    async fn greeted(
        connection: Connection,
        options: &ConnectOptions,
    ) -> Result<Self, ClientError> {
        let mut client = Self {
            connection,
            session: ClientSession::new(Limits::default()),
            allow_plaintext: options.allow_plaintext,
            server_name: None,
        };
        match client.event("the connection with a greeting").await? {
            ClientEvent::Greeting(greeting) => {
                let name = greeting.fqdn.as_deref().unwrap_or_default();
                client.observe_received(&format!("220 {name} FNAA"));
                client.server_name = greeting.fqdn;
                Ok(client)
            }
            other => Err(client.out_of_place(other)),
        }
    }

    /// The server's own name, as its greeting says. Nothing proves it but TLS.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Sends a command and waits for its reply.
    ///
    /// Not for AUTHENTICATE, STARTTLS, READ FLOW, WRITE FLOW and QUIT, which are more than a
    /// command and a reply: they have calls of their own.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with an error status, and everything that a connection can meet.
    pub async fn command(&mut self, command: &Command) -> Result<Reply, ClientError> {
        is_plain(command)?;
        self.begin(command).await?;
        let reply = self.reply(command).await?;
        judged(reply).map_err(ClientError::Refused)
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
        commands.iter().try_for_each(is_plain)?;
        self.is_ready()?;
        let mut replies = Vec::with_capacity(commands.len());
        let mut waiting = commands.iter();
        let (mut sizes, mut under_way) = (VecDeque::new(), 0);
        while replies.len() < commands.len() {
            while under_way < PIPELINE
                && let Some(command) = waiting.next()
            {
                let octets = self.send(command)?;
                sizes.push_back(octets);
                under_way += octets;
            }
            self.flush().await?;
            let answered = &commands[replies.len()];
            replies.push(judged(self.reply(answered).await?));
            under_way -= sizes.pop_front().unwrap_or_default();
        }
        Ok(replies)
    }

    /// Ends the session in order. Whatever goes wrong now is of no consequence: everything that
    /// was answered is done.
    pub async fn quit(mut self) {
        let bye = async {
            self.begin(&Command::Quit).await?;
            self.reply(&Command::Quit).await
        };
        if let Err(cause) = bye.await {
            tracing::debug!(%cause, "QUIT");
        }
        self.connection.close().await;
    }

    pub(crate) fn may_send_secrets(&self) -> bool {
        self.allow_plaintext || self.connection.is_confidential()
    }

    /// Sends the first command of an exchange: no reply may be under way.
    pub(crate) async fn begin(&mut self, command: &Command) -> Result<(), ClientError> {
        self.is_ready()?;
        self.send(command)?;
        self.flush().await
    }

    fn is_ready(&self) -> Result<(), ClientError> {
        match self.session.outstanding() {
            0 => Ok(()),
            _ => Err(ClientError::Interrupted {
                server: self.connection.server().to_owned(),
            }),
        }
    }

    /// Puts a command into the output and gives its size.
    fn send(&mut self, command: &Command) -> Result<usize, ClientError> {
        let before = self.session.output_len();
        self.session.send(command).map_err(|cause| match cause {
            SendError::Closed => ClientError::Closed {
                server: self.connection.server().to_owned(),
                cause: None,
            },
            other => ClientError::Unsendable(other.to_string()),
        })?;
        let octets = self.session.output_len() - before;
        if self.connection.is_observed() {
            let line = &command.to_string();
            self.connection.observe(Event::Sent { line, octets });
        }
        Ok(octets)
    }

    /// Sends what the session has for the server.
    pub(crate) async fn flush(&mut self) -> Result<(), ClientError> {
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(());
        }
        self.connection.send(&output).await
    }

    /// The reply to the oldest command, whatever it says.
    async fn reply(&mut self, command: &Command) -> Result<Reply, ClientError> {
        let (mut lines, mut octets) = (Vec::new(), 0);
        loop {
            match self.event_after(command).await? {
                ClientEvent::Status(status) => return Ok(Reply::Status(self.observed(status))),
                ClientEvent::DataEnd(status) => {
                    return Ok(Reply::Data(lines, self.observed(status)));
                }
                ClientEvent::DataBegin => self.observe_received("220 DATA"),
                ClientEvent::DataLine(line) => {
                    self.observe_data(&line);
                    octets += size(&line);
                    if octets > MAX_REPLY {
                        return Err(self.broken(&"its reply is longer than 64 MiB"));
                    }
                    lines.push(line);
                }
                other => return Err(self.out_of_place(other)),
            }
        }
    }

    async fn event_after(&mut self, command: &Command) -> Result<ClientEvent, ClientError> {
        if let Some(event) = self.arrived()? {
            return Ok(event);
        }
        self.event(&command.to_string()).await
    }

    /// What the server says next, within the time-out; a farewell is an error. Cancel-safe.
    pub(crate) async fn event(&mut self, awaited: &str) -> Result<ClientEvent, ClientError> {
        loop {
            if let Some(event) = self.arrived()? {
                return Ok(event);
            }
            let bytes = self.connection.receive(awaited).await?;
            self.session.receive(&bytes);
        }
    }

    /// What the server says next, however long it takes. Cancel-safe.
    pub(crate) async fn event_patiently(&mut self) -> Result<ClientEvent, ClientError> {
        loop {
            if let Some(event) = self.arrived()? {
                return Ok(event);
            }
            let bytes = self.connection.receive_patiently().await?;
            self.session.receive(&bytes);
        }
    }

    fn arrived(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        let event = self.session.next_event();
        match event.map_err(|cause| self.broken(&cause))? {
            Some(ClientEvent::Closing(status)) => Err(ClientError::Refused(self.observed(status))),
            event => Ok(event),
        }
    }

    pub(crate) fn observed(&self, status: Status) -> Status {
        if self.connection.is_observed() {
            self.observe_received(&format_status(&status));
        }
        status
    }

    pub(crate) fn observe_received(&self, line: &str) {
        self.connection.observe(Event::Received(line));
    }

    fn observe_data(&self, line: &DataLine) {
        match line {
            DataLine::Attribute(key, _) if key == "password" => {
                self.observe_received("password=****");
            }
            line if self.connection.is_observed() => {
                self.observe_received(&format_data_line(line));
            }
            _ => {}
        }
    }

    pub(crate) fn broken(&self, cause: &dyn ToString) -> ClientError {
        ClientError::Protocol {
            server: self.connection.server().to_owned(),
            cause: cause.to_string(),
        }
    }

    pub(crate) fn out_of_place(&self, event: ClientEvent) -> ClientError {
        match event {
            ClientEvent::Status(status) => self.broken(&format!("`{status}` is out of place")),
            _ => self.broken(&"its answer does not fit the command"),
        }
    }
}

/// An error status as an error.
pub(crate) fn accepted(status: Status) -> Result<Status, ClientError> {
    match status.code {
        400.. => Err(ClientError::Refused(status)),
        _ => Ok(status),
    }
}

/// What a line takes in memory: also one without content does.
fn size(line: &DataLine) -> usize {
    let content = match line {
        DataLine::Attribute(key, value) => key.len() + value.len(),
        DataLine::Text(text) => text.len(),
    };
    size_of::<DataLine>() + content
}

fn judged(reply: Reply) -> Result<Reply, Status> {
    match reply {
        Reply::Status(status) | Reply::Data(_, status) if status.code >= 400 => Err(status),
        reply => Ok(reply),
    }
}

fn is_plain(command: &Command) -> Result<(), ClientError> {
    match command {
        Command::Authenticate { .. }
        | Command::StartTls
        | Command::ReadFlow(..)
        | Command::WriteFlow { .. }
        | Command::Quit => Err(ClientError::Unsendable(format!(
            "{command} is more than a command and a reply; it has a call of its own"
        ))),
        _ => Ok(()),
    }
}
