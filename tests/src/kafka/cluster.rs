//! Several brokers that are one cluster, each of them its own controller too.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{self, Member};
use super::inventory::{TRANSACTIONS, run_tool};
use super::{START, address, format_storage, java, wait_until_up};
use crate::ports::free_port;
use crate::process::{Process, data_dir, limit_files};
use crate::proxy::{Fault, Proxy};
use crate::seed::{Seed, entropy};
use crate::wait::until;

/// What a broker of few topics and short tests needs.
const HEAP: &str = "208m";

/// A way to all brokers of a cluster, through a [`Proxy`] before each.
#[derive(Clone, Copy, Debug)]
pub struct Front {
    /// In capital letters.
    pub name: &'static str,
    /// Whether one has to log in there (SCRAM-SHA-256), and may do what ACLs say.
    pub guarded: bool,
}

/// A running cluster, open to everybody but for guarded fronts; dropping it kills it. All topics have a replica at each
/// of its brokers, and what is acknowledged by all has to be at all but one.
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    dir: PathBuf,
    port: u16,
    fronts: Vec<(Front, Proxy)>,
    process: Process,
}

/// A node's ports before it runs.
struct Plan {
    dir: PathBuf,
    port: u16,
    controller: u16,
    /// The ports of the listeners behind each proxy.
    fronts: Vec<(Front, u16, Proxy)>,
}

impl KafkaCluster {
    /// Starts so many brokers with empty logs, and ways to them.
    ///
    /// # Panics
    /// When the jars are not there (`make setup` fetches them) or a broker doesn't come up.
    #[must_use]
    pub fn start(name: &str, nodes: u32, fronts: &[Front]) -> Self {
        let plans: Vec<_> = (1..=nodes)
            .map(|node| plan(&format!("{name}-{node}"), fronts))
            .collect();
        let controllers: Vec<_> = plans.iter().map(|plan| plan.controller).collect();
        for (node, plan) in (1..).zip(&plans) {
            let fronts = plan.fronts.iter();
            let listeners = fronts.map(|(front, port, proxy)| files::FrontListener {
                front: *front,
                port: *port,
                advertised: proxy.port(),
            });
            let listeners: Vec<_> = listeners.collect();
            let member = Member {
                node,
                controllers: &controllers,
            };
            files::write_member(&plan.dir, &member, plan.port, &listeners);
        }
        format_all(&plans);
        let mut nodes: Vec<_> = plans.into_iter().map(launch).collect();
        for node in &mut nodes {
            wait_until_up(&mut node.process, node.port);
        }
        Self { nodes }
    }

    /// Where its brokers speak, without a proxy, with commas between them.
    #[must_use]
    pub fn servers(&self) -> String {
        let servers: Vec<_> = self.nodes.iter().map(|node| address(node.port)).collect();
        servers.join(",")
    }

    /// Where its brokers speak through the proxies of one front.
    ///
    /// # Panics
    /// When it was not started with such a front.
    #[must_use]
    pub fn front(&self, name: &str) -> Vec<String> {
        let proxies = self.proxies(name);
        proxies.map(|proxy| address(proxy.port())).collect()
    }

    /// What happens to all connections through one front from now on.
    ///
    /// # Panics
    /// When it was not started with such a front.
    pub fn set(&self, front: &str, fault: Fault) {
        self.proxies(front).for_each(|proxy| proxy.set(fault));
    }

    fn proxies(&self, name: &str) -> impl Iterator<Item = &Proxy> {
        self.nodes.iter().map(move |node| {
            let mut fronts = node.fronts.iter();
            let found = fronts.find(|(front, _)| front.name == name);
            &found
                .unwrap_or_else(|| panic!("there is no front {name}"))
                .1
        })
    }

    /// `kill -9` to a broker by its number, 1 and up.
    pub fn kill9(&mut self, node: i32) {
        self.node_mut(node).process.kill9();
    }

    /// Starts a broker again on the same ports and data, after [`KafkaCluster::kill9`].
    ///
    /// # Panics
    /// When it doesn't come up.
    pub fn restart(&mut self, node: i32) {
        let node = self.node_mut(node);
        node.process = start(&node.dir);
        wait_until_up(&mut node.process, node.port);
    }

    /// `kill -9` to all brokers, one right after the other.
    pub fn kill9_all(&mut self) {
        for node in &mut self.nodes {
            node.process.kill9();
        }
    }

    /// Starts all brokers again on the same ports and data, after [`KafkaCluster::kill9_all`].
    ///
    /// # Panics
    /// When one doesn't come up.
    pub fn restart_all(&mut self) {
        for node in &mut self.nodes {
            node.process = start(&node.dir);
        }
        for node in &mut self.nodes {
            wait_until_up(&mut node.process, node.port);
        }
    }

    /// Stops a broker's process without ending it: connections stay open and nobody answers.
    pub fn freeze(&self, node: i32) {
        self.node(node).process.signal("STOP");
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self, node: i32) {
        self.node(node).process.signal("CONT");
    }

    /// Lets a broker find its disk full, and waits until it has given up.
    ///
    /// # Panics
    /// When it goes on nevertheless.
    pub fn fill_disk(&mut self, node: i32) {
        /// Less than any log in use has.
        const FULL: u64 = 16 << 10;
        let process = &mut self.node_mut(node).process;
        limit_files(process.id(), FULL);
        until("the broker to give up", START, || {
            process.ended().ok_or_else(|| process.last_lines())
        });
    }

    /// Gives each partition back to the first of its replicas, as an administrator does after a
    /// broker was away; leaders move while everybody is alive.
    pub fn elect_preferred_leaders(&self) {
        let which = ["--election-type", "preferred", "--all-topic-partitions"];
        self.tool("org.apache.kafka.tools.LeaderElectionCommand", &which);
    }

    /// The number of the broker that looks after the transactions of a producer whose name
    /// contains `part`.
    ///
    /// # Panics
    /// When there is no such producer.
    #[must_use]
    pub fn coordinator(&self, part: &str) -> i32 {
        let lines = self.tool(TRANSACTIONS, &["list"]);
        let found = lines.iter().find_map(|line| {
            let mut fields = line.split_whitespace();
            let named = fields.next()?.contains(part);
            named.then(|| fields.next()?.parse().ok()).flatten()
        });
        found.unwrap_or_else(|| panic!("nobody's name has {part} in it: {lines:#?}"))
    }

    fn node(&self, number: i32) -> &Node {
        &self.nodes[number as usize - 1]
    }

    fn node_mut(&mut self, number: i32) -> &mut Node {
        &mut self.nodes[number as usize - 1]
    }

    fn tool(&self, tool: &str, arguments: &[&str]) -> Vec<String> {
        run_tool(&self.nodes[0].dir, &self.servers(), tool, arguments)
    }
}

fn plan(name: &str, fronts: &[Front]) -> Plan {
    let front = |front: &Front| {
        let port = free_port();
        let seed = Seed::new(entropy());
        (*front, port, Proxy::start(port, seed))
    };
    Plan {
        dir: data_dir(name),
        port: free_port(),
        controller: free_port(),
        fronts: fronts.iter().map(front).collect(),
    }
}

/// Formats the first broker's storage, and the others' after its model: a JVM for each would
/// take as long as the brokers themselves.
fn format_all(plans: &[Plan]) {
    let Some((first, others)) = plans.split_first() else {
        return;
    };
    format_storage(&first.dir, super::Authorization::Open, &[]);
    for (node, plan) in (2..).zip(others) {
        copy_storage(&first.dir.join("logs"), &plan.dir.join("logs"), node);
    }
}

fn copy_storage(from: &Path, to: &Path, node: u32) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().flatten() {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    let meta = fs::read_to_string(from.join("meta.properties")).unwrap();
    let lines = meta.lines().map(|line| match line.split_once('=') {
        Some(("node.id", _)) => format!("node.id={node}\n"),
        Some(("directory.id", _)) => format!("directory.id={}\n", files::random_id()),
        _ => format!("{line}\n"),
    });
    fs::write(to.join("meta.properties"), lines.collect::<String>()).unwrap();
}

fn launch(plan: Plan) -> Node {
    let fronts = plan.fronts.into_iter();
    Node {
        process: start(&plan.dir),
        dir: plan.dir,
        port: plan.port,
        fronts: fronts.map(|(front, _, proxy)| (front, proxy)).collect(),
    }
}

fn start(dir: &Path) -> Process {
    let mut command = java(dir, HEAP);
    command
        .arg("kafka.Kafka")
        .arg(dir.join("server.properties"));
    Process::start("Kafka", command, &dir.join("kafka.log"))
}
