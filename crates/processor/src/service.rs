//! The gRPC service over [`Processors`].

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use eson_protocol::BrokerKind;
use futures::Stream;
use futures::stream::unfold;
use tonic::{Request, Response, Status};

use crate::proto::processor_service_server::{ProcessorService, ProcessorServiceServer};
use crate::proto::{
    CapabilitiesRequest, CapabilitiesResponse, CreateRequest, CreateResponse, DescribeRequest,
    DescribeResponse, DestroyRequest, DestroyResponse, PauseRequest, PauseResponse, ResumeRequest,
    ResumeResponse, Spec, Status as InstanceStatus, UpdateRequest, UpdateResponse, WatchRequest,
};
use crate::report::Inbox;
use crate::{InstanceSpec, ProcessorError, Processors, SignalError, SpecError, TYPES};

/// The largest request, in octets: a spec has the schema of each destination.
const MAX_REQUEST: usize = 64 << 20;

/// The gRPC service over [`Processors`].
///
/// What changes something runs to its end even if the caller goes away meanwhile: a caller that
/// doesn't know what became of its call repeats it.
#[derive(Clone)]
pub struct Service {
    processors: Arc<Processors>,
}

impl Service {
    /// Serves `processors`.
    #[must_use]
    pub fn new(processors: Arc<Processors>) -> Self {
        Self { processors }
    }

    /// The service as tonic's router takes it.
    #[must_use]
    pub fn into_server(self) -> ProcessorServiceServer<Self> {
        ProcessorServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }

    /// Runs `work` apart from the call.
    async fn to_its_end<F>(&self, work: impl FnOnce(Arc<Processors>) -> F) -> Result<(), Status>
    where
        F: Future<Output = Result<(), ProcessorError>> + Send + 'static,
    {
        match tokio::spawn(work(self.processors.clone())).await {
            Ok(done) => done.map_err(|error| status(&error)),
            Err(broken) => {
                tracing::error!(%broken, "a call broke");
                Err(Status::internal("the processor met a bug; see its log"))
            }
        }
    }
}

#[tonic::async_trait]
impl ProcessorService for Service {
    async fn capabilities(
        &self,
        _: Request<CapabilitiesRequest>,
    ) -> Result<Response<CapabilitiesResponse>, Status> {
        let kinds = self.processors.kinds();
        Ok(Response::new(CapabilitiesResponse {
            types: TYPES.map(i32::from).to_vec(),
            brokers: kinds.into_iter().map(name).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn create(
        &self,
        request: Request<CreateRequest>,
    ) -> Result<Response<CreateResponse>, Status> {
        let spec = checked(request.into_inner().spec)?;
        self.to_its_end(|processors| async move { processors.create(spec).await })
            .await?;
        Ok(Response::new(CreateResponse {}))
    }

    async fn update(
        &self,
        request: Request<UpdateRequest>,
    ) -> Result<Response<UpdateResponse>, Status> {
        let spec = checked(request.into_inner().spec)?;
        self.to_its_end(|processors| async move { processors.update(spec).await })
            .await?;
        Ok(Response::new(UpdateResponse {}))
    }

    async fn pause(
        &self,
        request: Request<PauseRequest>,
    ) -> Result<Response<PauseResponse>, Status> {
        let id = request.into_inner().id;
        self.to_its_end(|processors| async move { processors.pause(&id).await })
            .await?;
        Ok(Response::new(PauseResponse {}))
    }

    async fn resume(
        &self,
        request: Request<ResumeRequest>,
    ) -> Result<Response<ResumeResponse>, Status> {
        let id = request.into_inner().id;
        self.to_its_end(|processors| async move { processors.resume(&id).await })
            .await?;
        Ok(Response::new(ResumeResponse {}))
    }

    async fn destroy(
        &self,
        request: Request<DestroyRequest>,
    ) -> Result<Response<DestroyResponse>, Status> {
        let id = request.into_inner().id;
        self.to_its_end(|processors| async move {
            processors.destroy(&id).await;
            Ok(())
        })
        .await?;
        Ok(Response::new(DestroyResponse {}))
    }

    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let instances = self
            .processors
            .describe(&request.into_inner().id)
            .map_err(|error| status(&error))?;
        Ok(Response::new(DescribeResponse { instances }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<InstanceStatus, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(statuses(self.processors.watch()))))
    }
}

/// What an inbox gets, one by one.
fn statuses(inbox: Arc<Inbox>) -> impl Stream<Item = Result<InstanceStatus, Status>> + Send {
    unfold((inbox, VecDeque::new()), async |(inbox, mut batch)| {
        if batch.is_empty() {
            batch = inbox.changed().await.into();
        }
        let next: InstanceStatus = batch.pop_front()?;
        Some((Ok(next), (inbox, batch)))
    })
}

fn checked(spec: Option<Spec>) -> Result<InstanceSpec, Status> {
    spec.ok_or(SpecError::Missing)
        .and_then(InstanceSpec::try_from)
        .map_err(|error| status(&error.into()))
}

fn name(kind: BrokerKind) -> String {
    kind.as_str().to_owned()
}

fn status(error: &ProcessorError) -> Status {
    let text = error.to_string();
    match error {
        ProcessorError::Spec(SpecError::Signal(SignalError::Untried(_))) => {
            Status::unavailable(text)
        }
        ProcessorError::Spec(_) => Status::invalid_argument(text),
        ProcessorError::Exists(_) => Status::already_exists(text),
        ProcessorError::NotFound(_) => Status::not_found(text),
        ProcessorError::Memory(_) => Status::resource_exhausted(text),
        ProcessorError::Closing => Status::unavailable(text),
        ProcessorError::NotDrained(_) => Status::deadline_exceeded(text),
    }
}
