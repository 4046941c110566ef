//! A program that its user runs as a gRPC service.

use std::error::Error;
use std::io;

use async_trait::async_trait;
use eson_client::{DialError, Dialer, TlsName, TlsRoots};
use eson_protocol::Server;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::program::{Program, ProgramError};
use super::proto::program_service_client::ProgramServiceClient;
use super::proto::{Input, Outcome, ProcessRequest};

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

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
    async fn process(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, ProgramError> {
        let mut service = match &self.service {
            Some(service) => service.clone(),
            None => self.connect().await?,
        };
        match service.process(ProcessRequest { inputs }).await {
            Ok(response) => {
                self.service = Some(service);
                Ok(response.into_inner().outcomes)
            }
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

    async fn give_up(&mut self) {}

    fn is_pure(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eson_client::SystemLookup;
    use eson_protocol::AddressPolicy;

    use super::*;

    #[tokio::test]
    async fn who_is_not_asked_for_where_he_is_is_told_which_key_says_so() {
        let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::default());
        let server = "127.0.0.1:50051".parse().expect("a server");
        let mut program = GrpcProgram::new(server, dialer, None);
        let refused = program.process(Vec::new()).await;
        let Err(ProgramError::Unreachable(text)) = refused else {
            panic!("{refused:?}");
        };
        let expected = "not a public address; its FNAA's program-networks has to have its network";
        assert!(text.contains(expected), "{text}");
    }
}
