//! Who is told what when one of our brokers has trouble.

use eson_protocol::{Code, Name, Right, Status};

use super::Request;
use crate::authority::Role;

impl Request<'_> {
    /// What goes wrong at our brokers, with their addresses and users, is for those who run the flow.
    /// Others are told that it does, and the log has why.
    pub(super) async fn told_of_trouble(&self, flow: &Name, status: Status) -> Status {
        let is_processor = self.caller.role == Role::Processor;
        if is_processor || status.known_code() != Some(Code::Backend) {
            return status;
        }
        let runs_it = self
            .participant
            .authorized_flow(self.caller, Right::Admin, flow);
        if runs_it.await.is_ok() {
            return status;
        }
        tracing::info!(%flow, caller = %self.caller.principal, reason = status.text, "not served");
        Status::backend(format!(
            "{flow} can't be served now; whoever runs it is told why"
        ))
    }
}
