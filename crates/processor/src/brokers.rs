//! Which broker is behind an endpoint.

use std::sync::Arc;

use async_trait::async_trait;
use eson_broker::{Broker, BrokerError};
use eson_protocol::BrokerKind;

use crate::Endpoint;

/// Finds the broker behind an endpoint.
#[async_trait]
pub trait BrokerFactory: Send + Sync {
    /// The kinds of endpoints that this factory knows.
    fn kinds(&self) -> Vec<BrokerKind>;

    /// The broker behind `endpoint`. Endpoints that agree in servers, login and policy may share
    /// one, and with it its connections.
    ///
    /// # Errors
    /// [`BrokerError::Unsupported`] for a kind or mechanism that this factory does not know, and
    /// whatever connecting met, where the kind connects at once.
    async fn broker(&self, endpoint: &Endpoint) -> Result<Arc<dyn Broker>, BrokerError>;
}
