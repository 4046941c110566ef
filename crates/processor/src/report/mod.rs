//! What is known about instances and their legs, and who is told when it changes.

mod changes;
mod instance;
mod leg;
mod meter;
mod trouble;

pub(crate) use changes::{Changes, Inbox};
pub(crate) use instance::InstanceReport;
pub(crate) use leg::{LegReport, Progress, State};
pub(crate) use trouble::Trouble;
