//! What the runtime tells of this participant's processors.

use std::io;

use eson_processor::proto;
use eson_protocol::Name;

use super::Participant;
use crate::reconcile::{fan_out, processor, subscription};
use crate::resource::{Failure, Subscriber};
use crate::runtime::windows_directory;
use crate::store::Stored;

impl Participant {
    /// The last status of one leg of an instance; none before the first.
    pub(crate) fn leg_status(&self, instance: &str, leg: &str) -> Option<proto::LegStatus> {
        let status = self.runtime.status(instance)?;
        status.legs.into_iter().find(|known| known.id == leg)
    }

    /// The bridge of the subscription that feeds a local flow.
    pub(crate) fn bridge_status(&self, local: &Name) -> Option<proto::LegStatus> {
        self.only_leg(&subscription::instance(local))
    }

    /// The leg that fills a subscriber's copy.
    pub(crate) fn copy_status(&self, subscriber: &Stored<Subscriber>) -> Option<proto::LegStatus> {
        let flow = &subscriber.resource.spec.flow;
        self.leg_status(&fan_out::instance(flow), &subscriber.resource.leg_id())
    }

    /// The legs of a processor that a user runs; none before the runtime tells of it.
    pub(crate) fn processor_legs(&self, name: &str) -> Vec<proto::LegStatus> {
        let status = self.runtime.status(&processor::instance(name));
        status.map(|status| status.legs).unwrap_or_default()
    }

    /// The networks where programs of signals may be, as CIDR.
    pub(crate) fn program_networks(&self) -> Vec<String> {
        let config = self.config();
        let networks = config.processor.program_networks.iter();
        networks.map(ToString::to_string).collect()
    }

    /// The file of those who may vouch for programs of signals; empty without one.
    pub(crate) fn program_ca(&self) -> String {
        let config = self.config();
        let file = config.processor.program_ca.as_ref();
        file.map(|file| file.display().to_string())
            .unwrap_or_default()
    }

    /// Removes what the windows of a processor's incarnation have kept; nothing may run of it.
    ///
    /// # Errors
    /// When the file can't be removed. One that is not there is no error.
    pub(crate) fn forget_windows(&self, incarnation: &str) -> Result<(), Failure> {
        let directory = windows_directory(&self.config().state_dir);
        let file = directory.join(format!("{incarnation}.redb"));
        match std::fs::remove_file(&file) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                let file = file.display();
                Err(Failure::backend(format!(
                    "{file} can't be removed: {cause}"
                )))
            }
            _ => Ok(()),
        }
    }

    fn only_leg(&self, instance: &str) -> Option<proto::LegStatus> {
        self.runtime.status(instance)?.legs.into_iter().next()
    }
}
