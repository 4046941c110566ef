//! What a broker holds beside records, asked with Kafka's own tools.

use std::path::Path;
use std::process::Stdio;

use super::{ADMIN, AGENT, Kafka, java};

/// Kafka's tools.
const CONFIGURATION: &str = "kafka.admin.ConfigCommand";
pub(super) const ACCESS: &str = "org.apache.kafka.tools.AclCommand";
pub(super) const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";

impl Kafka {
    /// The users with SCRAM credentials, the administrator and the participants' own left out, each in a line
    /// of Kafka's.
    #[must_use]
    pub fn users(&self) -> Vec<String> {
        let users = self.describe_users();
        let credentials = users.into_iter().filter(|line| line.contains("SCRAM-"));
        let known = |line: &String| {
            [ADMIN, AGENT]
                .iter()
                .any(|(name, _)| line.contains(&format!("'{name}'")))
        };
        credentials.filter(|line| !known(line)).collect()
    }

    /// The users with quotas, each in a line of Kafka's.
    #[must_use]
    pub fn quotas(&self) -> Vec<String> {
        let users = self.describe_users();
        let quotas = users.into_iter().filter(|line| line.contains("_rate"));
        quotas.collect()
    }

    /// Deletes a user's SCRAM credential behind everybody's back.
    pub fn forget_user(&self, name: &str) {
        let which = ["--entity-type", "users", "--entity-name", name];
        let what = ["--alter", "--delete-config", "SCRAM-SHA-256"];
        self.tool(CONFIGURATION, &[&what[..], &which].concat());
    }

    fn describe_users(&self) -> Vec<String> {
        self.tool(CONFIGURATION, &["--describe", "--entity-type", "users"])
    }

    /// The access rules, those of the participants' own user left out, each in a line of Kafka's with the
    /// resource that it is about.
    #[must_use]
    pub fn access_rules(&self) -> Vec<String> {
        let agent = format!("principal=User:{},", AGENT.0);
        let mut resource = String::new();
        let mut rules = Vec::new();
        for line in self.tool(ACCESS, &["--list"]) {
            if line.starts_with("Current ACLs") {
                resource = line;
            } else if line.contains("principal=") && !line.contains(&agent) {
                rules.push(format!("{resource} {}", line.trim()));
            }
        }
        rules
    }

    /// The ids of the producers that have a transaction open in the topic's first partition.
    #[must_use]
    pub fn open_transactions(&self, topic: &str) -> Vec<i64> {
        let lines = self.producers(topic);
        // The first field is the id, the last where the transaction begins.
        let open = lines.iter().filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.last()?.parse::<u64>().ok()?;
            fields.first()?.parse().ok()
        });
        open.collect()
    }

    /// The producers that the leader of a topic's first partition remembers, each in a line of Kafka's.
    #[must_use]
    pub fn producers(&self, topic: &str) -> Vec<String> {
        let which = ["describe-producers", "--topic", topic, "--partition", "0"];
        let mut lines = self.transactions(&which);
        lines.retain(|line| !line.starts_with("ProducerId"));
        lines
    }

    /// The named producers that the cluster knows, each in a line of Kafka's.
    #[must_use]
    pub fn named_producers(&self) -> Vec<String> {
        let mut lines = self.transactions(&["list"]);
        lines.retain(|line| line.starts_with("eson/"));
        lines
    }

    fn transactions(&self, command: &[&str]) -> Vec<String> {
        self.tool(TRANSACTIONS, command)
    }

    pub(super) fn tool(&self, tool: &str, arguments: &[&str]) -> Vec<String> {
        run_tool(&self.dir, &self.plaintext(), tool, arguments)
    }
}

/// What one of Kafka's own tools prints when it asks these servers.
pub(super) fn run_tool(dir: &Path, servers: &str, tool: &str, arguments: &[&str]) -> Vec<String> {
    let done = java(dir, "128m")
        .args([tool, "--bootstrap-server", servers])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{tool} {arguments:?}: {text}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    text.lines().map(str::to_owned).collect()
}
