//! What fnaad runs beside FNAP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use eson_processor::MemoryBudget;
use eson_protocol::text::format_size;
use ipnet::IpNet;

use super::participant::network;
use super::reader::Node;

/// More threads than any machine has processors.
const MOST_THREADS: u32 = 1024;

/// How much the windows of a signal may be let hold.
const LEAST_WINDOWS: u64 = 1 << 20;
const LARGEST_WINDOWS: u64 = 64 << 30;

/// The longest that a Kafka may leave a request without an answer.
const LONGEST_REQUEST: Duration = Duration::from_secs(60 * 60);

/// `processor`: how flow processors are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    /// `program`: the flow processor; without it, `flow-processor` beside fnaad itself.
    pub program: Option<PathBuf>,
    /// `restart-delay`: how long to wait before one that has ended is started again, doubled at
    /// each time it ends again (500ms).
    pub restart_delay: Duration,
    /// `longest-restart-delay`: the most it is doubled to (30s).
    pub longest_restart_delay: Duration,
    /// `stop-time`: how long one may take to write what it has read before it is ended (25s).
    pub stop_time: Duration,
    /// `program-networks`: the loopback, link-local and private networks where users may have
    /// gRPC programs of signals, as CIDR (none).
    pub program_networks: Vec<IpNet>,
    /// `program-ca`: the certificates that may sign those of gRPC programs, in PEM; without it,
    /// the system's.
    pub program_ca: Option<PathBuf>,
    /// `memory-limit`: how many bytes the readers and writers of one process may hold together;
    /// without it, as many as `flow-processor` itself says.
    pub memory_limit: Option<u64>,
    /// `threads`: how many threads of one process move events; without it, as many as the machine
    /// has processors.
    pub threads: Option<u32>,
    /// `request-timeout`: how long a Kafka may leave a request without an answer, in whole seconds;
    /// without it, as long as `flow-processor` itself says.
    pub request_timeout: Option<Duration>,
    /// `window-limit`: how many bytes of events the windows of one signal may hold; without it, as
    /// many as `flow-processor` itself says.
    pub window_limit: Option<u64>,
}

impl Default for Processor {
    fn default() -> Self {
        Self {
            program: None,
            restart_delay: Duration::from_millis(500),
            longest_restart_delay: Duration::from_secs(30),
            stop_time: Duration::from_secs(25),
            program_networks: Vec::new(),
            program_ca: None,
            memory_limit: None,
            threads: None,
            request_timeout: None,
            window_limit: None,
        }
    }
}

/// `web`: health and metrics, without authentication: on loopback addresses only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// `listen`: where.
    pub listen: SocketAddr,
}

/// `log`: what is told on standard error. The environment variable `RUST_LOG` goes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `filter`: which events, in the syntax of tracing's `EnvFilter` (info, and warn
    /// for the DNS library, which tells every query).
    pub filter: String,
    /// `format`: `text` or `json` (text).
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info,hickory_server=warn,hickory_proto=warn,hickory_net=warn".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

pub(super) fn processor(node: Node<'_>) -> Option<Processor> {
    node.section(|section| {
        let default = Processor::default();
        let duration = |key, default| {
            section
                .optional(key, |node| node.duration())
                .unwrap_or(default)
        };
        let processor = Processor {
            program: section.optional("program", |node| node.file()),
            restart_delay: duration("restart-delay", default.restart_delay),
            longest_restart_delay: duration("longest-restart-delay", default.longest_restart_delay),
            stop_time: duration("stop-time", default.stop_time),
            program_networks: section.list("program-networks", network),
            program_ca: section.optional("program-ca", |node| node.file()),
            memory_limit: section.optional("memory-limit", memory_limit),
            threads: section.optional("threads", |node| node.number(1..=MOST_THREADS)),
            request_timeout: section.optional("request-timeout", request_timeout),
            window_limit: section.optional("window-limit", window_limit),
        };
        if processor.restart_delay > processor.longest_restart_delay {
            section.report(
                "restart-delay",
                "may not be more than `longest-restart-delay`",
            );
        }
        Some(processor)
    })
}

/// Room for one leg at least.
fn memory_limit(node: Node<'_>) -> Option<u64> {
    const LEAST: u64 = MemoryBudget::LEG as u64;
    match node.size()? {
        size @ LEAST.. => Some(size),
        _ => node.report(format!("a leg needs {} at least", format_size(LEAST))),
    }
}

/// Room for a few events at least; all that a signal's windows hold is in memory, too.
fn window_limit(node: Node<'_>) -> Option<u64> {
    match node.size()? {
        size @ LEAST_WINDOWS..=LARGEST_WINDOWS => Some(size),
        _ => node.report(format!(
            "must be a size from {} to {}",
            format_size(LEAST_WINDOWS),
            format_size(LARGEST_WINDOWS)
        )),
    }
}

/// Whole seconds, as the flow processor counts them.
fn request_timeout(node: Node<'_>) -> Option<Duration> {
    let time = node.duration()?;
    if time.subsec_nanos() == 0 && time <= LONGEST_REQUEST {
        return Some(time);
    }
    node.report("must be whole seconds, from 1s to 1h")
}

pub(super) fn web(node: Node<'_>) -> Option<Web> {
    node.section(|section| {
        let listen = section.required("listen", |node| node.socket_address())?;
        if !listen.ip().is_loopback() {
            section.report(
                "listen",
                "must be a loopback address: nobody is asked who he is there",
            );
        }
        Some(Web { listen })
    })
}

pub(super) fn log(node: Node<'_>) -> Option<Log> {
    node.section(|section| {
        let default = Log::default();
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let filter = section.optional("filter", |node| {
            let text = node.text()?;
            match text.parse::<tracing_subscriber::EnvFilter>() {
                Ok(_) => Some(text),
                Err(cause) => node.report(cause.to_string()),
            }
        });
        let format = section.optional("format", |node| node.word(&formats));
        Some(Log {
            filter: filter.unwrap_or(default.filter),
            format: format.unwrap_or(default.format),
        })
    })
}
