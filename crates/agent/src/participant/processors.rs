//! What the runtime tells of this participant's processors.

use std::collections::BTreeSet;
use std::io;

use eson_processor::proto;
use eson_protocol::Name;

use super::Participant;
use crate::reconcile::{fan_out, processor, subscription};
use crate::resource::{Failure, Subscriber};
use crate::runtime::windows_directory;
use crate::store::Stored;

/// How long it is tried to forget positions where a broker can't be asked, in milliseconds.
const FORGETTING: u64 = 60_000;

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

    /// Forgets the positions of a family of legs at these brokers; nothing may run of it. A broker that
    /// can't be asked is asked again for a minute after `since`, in milliseconds: then what it has is
    /// left there, so that nobody waits for a broker that may never come back.
    ///
    /// # Errors
    /// As long as it is to be tried again.
    pub(crate) async fn forget_positions(
        &self,
        brokers: BTreeSet<String>,
        family: &str,
        since: u64,
    ) -> Result<(), Failure> {
        for name in brokers {
            // One that the configuration does not have any more can't be asked.
            let Some(entry) = self.brokers.get(&name) else {
                continue;
            };
            let Err(error) = entry.broker.forget_positions(family).await else {
                continue;
            };
            if error.is_transient() && self.now() < since.saturating_add(FORGETTING) {
                let text = format!("positions can't be forgotten at {name}: {error}");
                return Err(Failure::backend(text));
            }
            tracing::warn!(broker = name, legs = family, %error, "positions of what is gone are left there");
        }
        Ok(())
    }

    fn only_leg(&self, instance: &str) -> Option<proto::LegStatus> {
        self.runtime.status(instance)?.legs.into_iter().next()
    }
}
