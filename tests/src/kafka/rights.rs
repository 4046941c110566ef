//! What participants may do at a broker.

use std::thread;

use super::Kafka;
use super::inventory::ACCESS;

/// What operators read of it.
const MANUAL: &str = include_str!("../../../docs/operations.md");

/// How each line of the manual begins that allows something.
const COMMAND: &str = "kafka-acls.sh $CLUSTER ";

impl Kafka {
    /// Allows [`super::AGENT`] what the manual says that it has to be allowed, by the manual's commands.
    pub(crate) fn allow_agent(&self) {
        let commands = MANUAL.lines().filter_map(|line| line.strip_prefix(COMMAND));
        // A JVM each, which takes its time.
        thread::scope(|scope| {
            let run = |command| scope.spawn(move || self.change_access(command));
            let running: Vec<_> = commands.map(run).collect();
            assert!(!running.is_empty(), "the manual allows nothing");
        });
    }

    /// Changes who may do what as `kafka-acls.sh` does with these arguments.
    ///
    /// # Panics
    /// When it can't.
    pub fn change_access(&self, command: &str) {
        let arguments = command
            .split_whitespace()
            .map(|word| word.trim_matches('\''));
        self.tool(ACCESS, &arguments.collect::<Vec<_>>());
    }
}
