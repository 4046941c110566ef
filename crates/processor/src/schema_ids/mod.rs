//! Ids of Schema Registries in what a leg copies: those of the source's registry are replaced by
//! those of the destination's.

mod cache;
mod spec;
mod translation;

pub use spec::{OnUnknownSchema, RegistrySpec, SchemaIdsError, SchemaIdsSpec};
pub use translation::Registries;
pub(crate) use translation::SharedTranslation;
