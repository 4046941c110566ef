//! The commands of `fnua`, a file each: what figure 15 of the draft has, and what FNAP has
//! beyond it.

pub(crate) mod capabilities;
pub(crate) mod collect;
pub(crate) mod completion;
pub(crate) mod create;
pub(crate) mod delete;
mod delivery_options;
pub(crate) mod describe;
pub(crate) mod distribute;
mod fitting;
pub(crate) mod flow_options;
pub(crate) mod get;
pub(crate) mod grant;
mod on_gap;
pub(crate) mod pause;
mod quality_options;
pub(crate) mod read;
mod registry_options;
pub(crate) mod remove;
pub(crate) mod replicate;
pub(crate) mod resolve;
pub(crate) mod resume;
pub(crate) mod revoke;
pub(crate) mod set;
pub(crate) mod signal;
pub(crate) mod stop;
pub(crate) mod subscribe;
pub(crate) mod top;
pub(crate) mod unsubscribe;
pub(crate) mod update;
mod validate;
pub(crate) mod whoami;
pub(crate) mod write;
