//! The types and the service of package `eson.processor.v1`, generated from `proto/`.

// Their documentation is in the `.proto`; what the generator adds of its own has none.
#![allow(missing_docs, unreachable_pub, clippy::all)]

use std::fmt;

tonic::include_proto!("eson.processor.v1");

/// Without the password: messages end up in logs sooner or later.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("flow", &self.flow)
            .field("kind", &self.kind)
            .field("servers", &self.servers)
            .field("queue", &self.queue)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Without password and token, as [`Endpoint`].
impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaRegistry")
            .field("url", &self.url)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
