//! One connection: carries bytes between the socket and the session state machine, and commands
//! from the state machine to what they do.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use eson_identity::{ConnectionSecurity, Standing};
use eson_protocol::session::{Exchange, Limits, ServerEvent, ServerSession, Turn};
use eson_protocol::{Command, DataLine, Reply, Status};
use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::admission::network;
use super::listener::Service;
use super::login::{Accepted, Login, Progress};
use crate::authority::Caller;
use crate::command::{Request, capabilities};

/// How much is read at once. Small, since most sessions are idle most of the time.
const READ_SIZE: usize = 4 * 1024;

/// How long a client may take to read what it is sent before it is given up.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// Who is at the other end, before it says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// None for a process of this machine, over the Unix socket.
    pub(super) address: Option<IpAddr>,
    /// What protects the connection.
    pub(super) security: ConnectionSecurity,
}

impl Peer {
    /// Whether a secret may be sent: under TLS, within this machine, and in plain text nowhere
    /// else, also where the configuration takes passwords over it.
    fn is_confidential(self) -> bool {
        match self.security {
            ConnectionSecurity::Protected => true,
            ConnectionSecurity::PlaintextAllowed => self
                .address
                .is_none_or(|address| address.to_canonical().is_loopback()),
            ConnectionSecurity::Plaintext => false,
        }
    }
}

/// One connection.
pub(super) struct Connection<S> {
    stream: S,
    buffer: BytesMut,
    peer: Peer,
    pub(super) session: ServerSession,
    pub(super) service: Service,
    login: Option<Login>,
    /// Who it is once the client knows that it is authenticated.
    accepted: Option<Accepted>,
    pub(super) caller: Option<Caller>,
    /// The account that a user has logged in with.
    standing: Option<Standing>,
    attributes: bool,
    /// When an unauthenticated session ends.
    deadline: Instant,
    /// Whether a part of what is sent may still be missing.
    sending: bool,
}

/// Why the loop ends.
pub(super) enum End {
    /// The session is over, in order.
    Over,
    /// The network says so.
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Runs the session to its end.
    pub(super) async fn run(stream: S, peer: Peer, service: Service) {
        let limits = service.participant.limits();
        let session_limits = Limits {
            event: limits.event,
            ..Limits::default()
        };
        let mut connection = Self {
            stream,
            buffer: BytesMut::new(),
            peer,
            session: ServerSession::new(session_limits),
            login: None,
            accepted: None,
            caller: None,
            standing: None,
            attributes: false,
            deadline: Instant::now() + limits.unauthenticated_time,
            sending: false,
            service,
        };
        tracing::debug!(address = ?peer.address, "connected");
        match connection.serve_or_cut_off().await {
            Err(End::Broken(error)) => {
                tracing::debug!(address = ?peer.address, %error, "the connection broke");
            }
            Ok(()) | Err(End::Over) => tracing::debug!(address = ?peer.address, "disconnected"),
        }
    }

    async fn serve_or_cut_off(&mut self) -> Result<(), End> {
        let cut_off = self.service.ending.cut_off.clone();
        if let Some(end) = cut_off.run_until_cancelled(self.serve()).await {
            return end;
        }
        if self.sending {
            let cause = "the client does not read, and this FNAA is shutting down";
            return Err(io::Error::new(io::ErrorKind::TimedOut, cause).into());
        }
        self.session.close(&shutting_down());
        let output = self.session.take_output();
        // As much as the connection takes at once: nobody is waited for any more.
        match self.stream.write(&output).now_or_never() {
            Some(written) => written.map(|_| ()).map_err(End::from),
            None => Ok(()),
        }
    }

    async fn serve(&mut self) -> Result<(), End> {
        self.session.greet(&self.service.participant.fqdn);
        loop {
            while let Some(event) = self.session.next_event() {
                if self.is_outdated() {
                    break;
                }
                // What a command needs while it is carried out would otherwise be part of each idle
                // session: tens of kilobytes.
                Box::pin(self.handle(event)).await?;
                self.flush().await?;
            }
            if self.is_outdated() {
                self.session.close(&outdated());
            }
            self.flush().await?;
            if self.session.is_closed() {
                return Err(End::Over);
            }
            self.receive_or_close().await?;
        }
    }

    /// Sends what there is to send. A client that does not read is given up after a while.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.session.output_len() == 0 {
            return Ok(());
        }
        let output = self.session.take_output();
        self.sending = true;
        let sent = async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_PATIENCE, sent).await {
            Ok(sent) => sent?,
            Err(_) => {
                let cause = "the client does not read";
                return Err(io::Error::new(io::ErrorKind::TimedOut, cause).into());
            }
        }
        self.sending = false;
        Ok(())
    }

    /// Waits for bytes; ends the session when none come in time or the server stops.
    async fn receive_or_close(&mut self) -> Result<(), End> {
        let limits = self.service.participant.limits();
        let until = match &self.caller {
            None => self.deadline,
            Some(_) => Instant::now() + limits.idle_time,
        };
        if self.caller.is_none() && until <= Instant::now() {
            // Somebody who always has something to say would never be waited for.
            self.session.close(&too_slow());
            return Ok(());
        }
        let ending = self.service.ending.asked.clone();
        let mut reloads = self.service.reloads.clone();
        tokio::select! {
            received = timeout_at(until, self.receive()) => match received {
                Ok(received) => received,
                Err(_) if self.caller.is_none() => {
                    self.session.close(&too_slow());
                    Ok(())
                }
                Err(_) => {
                    self.session.close(&Status::closing("nothing was said for too long"));
                    Ok(())
                }
            },
            () = ending.cancelled() => {
                self.session.close(&shutting_down());
                Ok(())
            }
            // Whether that concerns this session is looked at next.
            Ok(()) = reloads.changed() => {
                self.service.reloads.mark_unchanged();
                Ok(())
            }
        }
    }

    /// Whether the account that the user of this session has logged in with is gone or another one.
    pub(super) fn is_outdated(&self) -> bool {
        let standing = self.standing.as_ref();
        standing.is_some_and(|standing| !self.service.logins.holds(standing))
    }

    /// Takes bytes from the client. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<(), End> {
        self.buffer.reserve(READ_SIZE);
        let length = self.stream.read_buf(&mut self.buffer).await?;
        if length == 0 {
            return Err(End::Over);
        }
        self.session.receive(&self.buffer);
        // An idle session keeps no buffer.
        self.buffer = BytesMut::new();
        Ok(())
    }

    async fn handle(&mut self, event: ServerEvent) -> Result<(), End> {
        match event {
            ServerEvent::Command(command, turn) => self.command(command, turn).await?,
            ServerEvent::Authenticate { mechanism, start } => {
                match self.service.logins.start(&mechanism, self.peer.security) {
                    Ok(login) => {
                        self.login = Some(login);
                        self.session.start_exchange(start);
                    }
                    Err(status) => self.session.reply(start.refuse(), status),
                }
            }
            ServerEvent::SaslResponse { data, exchange } => {
                self.sasl(data.as_bytes().to_vec(), exchange).await;
            }
            ServerEvent::SaslCancelled => (self.login, self.accepted) = (None, None),
            ServerEvent::Authenticated => {
                let accepted = self.accepted.take();
                (self.caller, self.standing) = match accepted {
                    Some(Accepted { caller, standing }) => (Some(caller), standing),
                    None => (None, None),
                };
                let principal = self
                    .caller
                    .as_ref()
                    .map(|caller| caller.principal.to_string());
                tracing::debug!(address = ?self.peer.address, principal, "authenticated");
            }
            ServerEvent::WriteFlow {
                flow,
                format,
                position,
                write,
            } => {
                tracing::debug!(address = ?self.peer.address, %flow, ?position, "WRITE FLOW");
                self.write_flow(flow, format, position, write).await?;
            }
            ServerEvent::Refused(status) => {
                tracing::debug!(address = ?self.peer.address, %status, "refused");
            }
            // Event lines are taken where WRITE FLOW is; a read that has ended needs no end.
            ServerEvent::EventLine(_)
            | ServerEvent::EventLineRefused(_)
            | ServerEvent::EndOfRead
            | ServerEvent::Closed => {}
            ServerEvent::EndOfEvents(turn) => {
                self.session
                    .reply(turn, Status::sequence("there is no WRITE FLOW to end"));
            }
        }
        Ok(())
    }

    async fn sasl(&mut self, response: Vec<u8>, exchange: Exchange) {
        let Some(login) = self.login.take() else {
            self.session.fail(
                exchange,
                Status::sequence("there is no login to go on with"),
            );
            return;
        };
        let begun = Instant::now();
        let logins = &self.service.logins;
        let progress = logins.step(login, response, self.peer.address).await;
        // That it was held up is not the client's slowness.
        self.deadline += begun.elapsed();
        match progress {
            Progress::Challenge(login, data) => {
                self.login = Some(login);
                self.session.challenge(exchange, &data);
            }
            Progress::Done(accepted, final_data) => {
                self.accepted = Some(accepted);
                self.session.succeed(exchange, final_data.as_deref());
            }
            Progress::Failed => {
                let text = "the credentials are wrong; check user and password";
                self.session.fail(exchange, Status::credentials(text));
            }
        }
    }

    async fn command(&mut self, command: Command, turn: Turn) -> Result<(), End> {
        tracing::debug!(address = ?self.peer.address, %command, "command");
        match command {
            Command::Quit => self.session.bye(turn),
            Command::Noop => self.session.reply(turn, Status::done()),
            Command::Help => self.session.reply(turn, help()),
            Command::StartTls => {
                let text = "STARTTLS is not offered here; CAPABILITIES tells what is";
                self.session.reply(turn, Status::unsupported(text));
            }
            Command::EnableAttributes => {
                self.attributes = true;
                self.session.reply(turn, Status::done());
            }
            Command::Capabilities => {
                let lines = capabilities::lines(&self.service.participant, self.peer.security);
                self.session.reply(turn, Reply::data(lines));
            }
            Command::ReadFlow(flow, options) => self.read_flow(flow, options, turn).await?,
            command => {
                let reply = self.execute(command).await;
                if reply.status().is_error() {
                    tracing::debug!(address = ?self.peer.address, status = %reply.status(), "refused");
                }
                self.session.reply(turn, reply);
            }
        }
        Ok(())
    }

    async fn execute(&self, command: Command) -> Reply {
        match self.request() {
            Ok(request) => request.execute(command).await.unwrap_or_else(Reply::from),
            Err(status) => status.into(),
        }
    }

    /// What a command of this session is carried out with.
    pub(super) fn request(&self) -> Result<Request<'_>, Status> {
        let unknown = || Status::auth("authenticate first, with AUTHENTICATE");
        if self.is_outdated() {
            return Err(outdated());
        }
        Ok(Request {
            participant: &self.service.participant,
            caller: self.caller.as_ref().ok_or_else(unknown)?,
            attributes: self.attributes,
            confidential: self.peer.is_confidential(),
            network: self.peer.address.map(network),
        })
    }
}

/// What a session ends with when the FNAA does.
pub(super) fn shutting_down() -> Status {
    Status::closing("this FNAA is shutting down")
}

fn too_slow() -> Status {
    Status::closing("authentication takes too long")
}

/// What a session ends with whose account was removed or changed.
pub(super) fn outdated() -> Status {
    Status::closing("your account was changed here; log in again")
}

fn help() -> Reply {
    Reply::data(eson_protocol::text::usage().map(DataLine::text).collect())
}
