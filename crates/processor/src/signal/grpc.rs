//! A program that its user runs as a gRPC service.

use std::error::Error;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use eson_client::{DialError, Dialer, TlsName, TlsRoots};
use eson_protocol::Server;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::program::{Program, ProgramError};
use super::proto::program_service_client::ProgramServiceClient;
use super::proto::{Input, Outcome, ProcessRequest};

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// How long a connection may take: longer than looking a name up and opening it may, so that what
/// takes too long of that is told.
const CONNECT: Duration = Duration::from_secs(15);

/// What TLS servers are told that we speak.
const HTTP_2: &[u8] = b"h2";

/// A program behind an address, under an address policy.
pub(super) struct GrpcProgram {
    server: Server,
    dialer: Dialer,
    /// Over TLS, with these authorities.
    tls: Option<TlsRoots>,
    service: Option<ProgramServiceClient<Channel>>,
}

/// What a call travels over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl GrpcProgram {
    pub(super) fn new(server: Server, dialer: Dialer, tls: Option<TlsRoots>) -> Self {
        Self {
            server,
            dialer,
            tls: tls.map(|roots| roots.for_protocol(HTTP_2)),
            service: None,
        }
    }

    async fn connect(&self) -> Result<ProgramServiceClient<Channel>, ProgramError> {
        let unreachable = |error: tonic::transport::Error| self.unreachable(&error);
        // Whatever it says here, the connector knows how to speak.
        let uri = format!("http://{}", self.server);
        let endpoint = Endpoint::from_shared(uri).map_err(unreachable)?;
        let (dialer, tls) = (self.dialer.clone(), self.tls.clone());
        let server = self.server.clone();
        let connector = service_fn(move |_: Uri| {
            let (dialer, tls, server) = (dialer.clone(), tls.clone(), server.clone());
            async move { open(&dialer, tls.as_ref(), &server).await.map(TokioIo::new) }
        });
        let channel = endpoint.connect_with_connector(connector).await;
        let service = ProgramServiceClient::new(channel.map_err(unreachable)?);
        Ok(service.max_decoding_message_size(MAX_ANSWER))
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> ProgramError {
        let mut root = error;
        while let Some(source) = root.source() {
            root = source;
        }
        ProgramError::Unreachable(format!(
            "the program at {} does not answer: {root}",
            self.server
        ))
    }
}

/// The policy is asked at every connect, after the name was looked up.
async fn open(
    dialer: &Dialer,
    tls: Option<&TlsRoots>,
    server: &Server,
) -> io::Result<Box<dyn Stream>> {
    let stream = dialer.connect(&server.host, server.port).await;
    let stream = stream.map_err(|error| match error {
        // The key for peers does not count for programs.
        DialError::Forbidden { host, address } => io::Error::other(format!(
            "{host} is at {address}, which is not a public address; its FNAA's program-networks \
             has to have its network if it is meant"
        )),
        other => io::Error::other(other),
    })?;
    let Some(roots) = tls else {
        return Ok(Box::new(stream));
    };
    let name = TlsName::parse(&server.host).map_err(io::Error::other)?;
    Ok(Box::new(roots.handshake(&name, stream).await?))
}

#[async_trait]
impl Program for GrpcProgram {
    async fn prepare(&mut self) -> Result<(), ProgramError> {
        if self.service.is_some() {
            return Ok(());
        }
        let Ok(connected) = timeout(CONNECT, self.connect()).await else {
            let (server, seconds) = (&self.server, CONNECT.as_secs());
            return Err(ProgramError::Unreachable(format!(
                "the program at {server} does not answer: no connection within {seconds} s"
            )));
        };
        self.service = Some(connected?);
        Ok(())
    }

    async fn process(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, ProgramError> {
        let mut service = match &self.service {
            Some(service) => service.clone(),
            None => self.connect().await?,
        };
        match service.process(ProcessRequest { inputs }).await {
            Ok(response) => Ok(response.into_inner().outcomes),
            Err(status) if status.code() == Code::Unavailable => {
                self.service = None;
                Err(self.unreachable(&status))
            }
            Err(status) => {
                let (code, text) = (status.code(), status.message());
                Err(ProgramError::Broke(format!(
                    "the program answered {code:?}: {text}"
                )))
            }
        }
    }

    /// Whoever does not answer may be gone with the connection, which the next one tells.
    async fn give_up(&mut self) {
        self.service = None;
    }

    fn is_pure(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::net::IpAddr;

    use eson_client::{Lookup, SystemLookup};
    use eson_protocol::AddressPolicy;

    use super::*;
    use crate::signal::Silence;
    use crate::signal::asked::Asked;

    #[tokio::test]
    async fn who_is_not_asked_for_where_he_is_is_told_which_key_says_so() {
        let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::default());
        let server = "127.0.0.1:50051".parse().expect("a server");
        let mut program = GrpcProgram::new(server, dialer, None);
        let refused = program.prepare().await;
        let Err(ProgramError::Unreachable(text)) = refused else {
            panic!("{refused:?}");
        };
        let expected = "not a public address; its FNAA's program-networks has to have its network";
        assert!(text.contains(expected), "{text}");
    }

    /// Nobody who knows addresses answers, as where packets are dropped.
    struct Dropped;

    #[async_trait]
    impl Lookup for Dropped {
        async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_can_not_be_connected_to_is_unreachable_and_not_slow() {
        let dialer = Dialer::new(Arc::new(Dropped), AddressPolicy::default());
        let server = "program.example:50051".parse().expect("a server");
        let program = Box::new(GrpcProgram::new(server, dialer, None));
        let mut program = Asked::new(program, Silence::default());
        let refused = program.ask(vec![Input::default()]).await;
        let text = refused.expect_err("nobody answers");
        assert!(
            text.contains("program.example:50051 does not answer"),
            "{text}"
        );
    }
}
