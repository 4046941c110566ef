//! How an FNAA talks to a processor.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::SocketAddress;
use crate::proto::processor_service_client::ProcessorServiceClient;
use crate::proto::{
    CapabilitiesRequest, CapabilitiesResponse, CreateRequest, DescribeRequest, DestroyRequest,
    PauseRequest, ResumeRequest, Spec, Status, UpdateRequest, WatchRequest,
};

/// A connection to a processor. Cheap to clone; it connects again by itself when the processor
/// comes back at the same address.
#[derive(Clone, Debug)]
pub struct Client {
    service: ProcessorServiceClient<Channel>,
}

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a call to a processor failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers at the processor's address; start it, or try again.
    #[error("the processor does not answer: {0}")]
    Unavailable(String),
    /// The spec is wrong; the text says where.
    #[error("the processor refused the spec: {0}")]
    Invalid(String),
    /// Another spec has the id; update or destroy it.
    #[error("{0}")]
    Exists(String),
    /// There is no such instance.
    #[error("{0}")]
    NotFound(String),
    /// The processor has no memory for so many legs.
    #[error("{0}")]
    Exhausted(String),
    /// The instance is paused, but a destination did not take what was read: it is read again.
    #[error("{0}")]
    NotDrained(String),
    /// Anything else: another version of the interface, or a bug.
    #[error("the processor answered {code}: {text}")]
    Other {
        /// The gRPC status code.
        code: String,
        /// What the processor said.
        text: String,
    },
}

impl Client {
    /// Connects to a processor.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when nobody listens there.
    pub async fn connect(address: &SocketAddress) -> Result<Self, ClientError> {
        let uri = match address {
            SocketAddress::Unix(path) => format!("unix:{}", path.display()),
            SocketAddress::Tcp(server) => format!("http://{server}"),
        };
        let unavailable = |error: tonic::transport::Error| {
            ClientError::Unavailable(format!("{address}: {}", with_causes(&error)))
        };
        let endpoint = Endpoint::from_shared(uri).map_err(unavailable)?;
        let channel = endpoint
            .connect_timeout(CONNECT)
            .connect()
            .await
            .map_err(unavailable)?;
        Ok(Self {
            service: ProcessorServiceClient::new(channel),
        })
    }

    /// What the processor can run.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn capabilities(&self) -> Result<CapabilitiesResponse, ClientError> {
        let answer = self.service().capabilities(CapabilitiesRequest {}).await?;
        Ok(answer.into_inner())
    }

    /// Creates an instance and starts it. The same spec again changes nothing.
    ///
    /// # Errors
    /// [`ClientError::Invalid`], [`ClientError::Exists`], [`ClientError::Exhausted`],
    /// [`ClientError::Unavailable`].
    pub async fn create(&self, spec: Spec) -> Result<(), ClientError> {
        let request = CreateRequest { spec: Some(spec) };
        self.service().create(request).await?;
        Ok(())
    }

    /// Replaces an instance's spec: legs in both go on undisturbed, failed ones start again.
    /// Returns when those that are gone have stopped.
    ///
    /// # Errors
    /// [`ClientError::Invalid`], [`ClientError::NotFound`], [`ClientError::Exhausted`],
    /// [`ClientError::Unavailable`].
    pub async fn update(&self, spec: Spec) -> Result<(), ClientError> {
        let request = UpdateRequest { spec: Some(spec) };
        self.service().update(request).await?;
        Ok(())
    }

    /// Stops reading and returns when everything read is written.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::NotDrained`], [`ClientError::Unavailable`].
    pub async fn pause(&self, id: &str) -> Result<(), ClientError> {
        let request = PauseRequest { id: id.to_owned() };
        self.service().pause(request).await?;
        Ok(())
    }

    /// Goes on after a pause, and starts failed legs again.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::Unavailable`].
    pub async fn resume(&self, id: &str) -> Result<(), ClientError> {
        let request = ResumeRequest { id: id.to_owned() };
        self.service().resume(request).await?;
        Ok(())
    }

    /// Drains, for a bounded time, stops and forgets an instance. One that is gone is no error.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn destroy(&self, id: &str) -> Result<(), ClientError> {
        let request = DestroyRequest { id: id.to_owned() };
        self.service().destroy(request).await?;
        Ok(())
    }

    /// The status of one instance, or of all for an empty id.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::Unavailable`].
    pub async fn describe(&self, id: &str) -> Result<Vec<Status>, ClientError> {
        let request = DescribeRequest { id: id.to_owned() };
        Ok(self
            .service()
            .describe(request)
            .await?
            .into_inner()
            .instances)
    }

    /// The status of every instance now, then each change. The stream ends with an error when
    /// the processor goes away: watch again then, and take what comes first as what is.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn watch(
        &self,
    ) -> Result<BoxStream<'static, Result<Status, ClientError>>, ClientError> {
        let statuses = self.service().watch(WatchRequest {}).await?.into_inner();
        Ok(statuses
            .map(|status| status.map_err(ClientError::from))
            .boxed())
    }

    fn service(&self) -> ProcessorServiceClient<Channel> {
        self.service.clone()
    }
}

impl From<tonic::Status> for ClientError {
    fn from(status: tonic::Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            Code::Unavailable | Code::Cancelled => Self::Unavailable(text),
            Code::InvalidArgument => Self::Invalid(text),
            Code::AlreadyExists => Self::Exists(text),
            Code::NotFound => Self::NotFound(text),
            Code::ResourceExhausted => Self::Exhausted(text),
            Code::DeadlineExceeded => Self::NotDrained(text),
            code => Self::Other {
                code: format!("{code:?}"),
                text,
            },
        }
    }
}

/// The error and what is behind it: the transport's own text says only "transport error".
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
