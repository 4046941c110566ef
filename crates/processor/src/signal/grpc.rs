//! A program that its user runs as a gRPC service.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use eson_client::{Dialer, Lookup};
use eson_protocol::{AddressPolicy, Server};
use hyper_util::rt::TokioIo;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::program::{Program, ProgramError};
use super::proto::program_service_client::ProgramServiceClient;
use super::proto::{Input, Outcome, ProcessRequest};

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// A program behind an address, under an address policy.
pub(super) struct GrpcProgram {
    server: Server,
    dialer: Dialer,
    service: Option<ProgramServiceClient<Channel>>,
}

impl GrpcProgram {
    pub(super) fn new(server: Server, policy: AddressPolicy, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            server,
            dialer: Dialer::new(lookup, policy),
            service: None,
        }
    }

    /// The policy is asked at every connect, after the name was looked up.
    async fn connect(&self) -> Result<ProgramServiceClient<Channel>, ProgramError> {
        let unreachable = |error: tonic::transport::Error| self.unreachable(&error);
        let uri = format!("http://{}", self.server);
        let endpoint = Endpoint::from_shared(uri).map_err(unreachable)?;
        let (dialer, server) = (self.dialer.clone(), self.server.clone());
        let connector = service_fn(move |_: Uri| {
            let (dialer, server) = (dialer.clone(), server.clone());
            async move {
                let stream = dialer.connect(&server.host, server.port).await;
                stream.map(TokioIo::new).map_err(std::io::Error::other)
            }
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
