//! Which command a line begins with, and which writer a command has.

use super::error::{CommandError, QuotedVerb, SyntaxError};
use super::line::Line;
use super::words::{Arguments, Words};
use super::{
    authenticate, component, flow, grant, namespace, processor, read, session, subscribe,
    subscriber, subscription, write,
};
use crate::{Command, ComponentKind};

type Parser = fn(&mut Arguments<'_>) -> Result<Command, CommandError>;

/// One command: its verb, its noun or nothing, and how to go on from there.
pub(super) struct Entry {
    /// Verb and noun, as errors name the command.
    name: &'static str,
    /// For HELP.
    pub(super) usage: &'static str,
    parse: Parser,
}

const fn entry(name: &'static str, usage: &'static str, parse: Parser) -> Entry {
    Entry { name, usage, parse }
}

/// Every command in the order of `docs/fnap.md`.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Entry] = &[
    entry("STARTTLS", "STARTTLS", session::start_tls),
    entry("CAPABILITIES", "CAPABILITIES", session::capabilities),
    entry("AUTHENTICATE", "AUTHENTICATE mechanism [initial-response]", authenticate::parse),
    entry("NOOP", "NOOP", session::noop),
    entry("HELP", "HELP", session::help),
    entry("QUIT", "QUIT", session::quit),
    entry("ENABLE", "ENABLE ATTRIBUTES", session::enable),
    entry("WHOAMI", "WHOAMI", session::who_am_i),
    entry("CREATE NAMESPACE", "CREATE NAMESPACE namespace [broker=]", namespace::create),
    entry("UPDATE NAMESPACE", "UPDATE NAMESPACE namespace [broker=]", namespace::update),
    entry("DESCRIBE NAMESPACE", "DESCRIBE NAMESPACE namespace", namespace::describe),
    entry("DELETE NAMESPACE", "DELETE NAMESPACE namespace", namespace::delete),
    entry("GET NAMESPACES", "GET NAMESPACES", namespace::list),
    entry("CREATE FLOW", "CREATE FLOW flow [broker=] [queue=] [partitions=] [retention=] [access=] [content-type=] [schema=] [schema-digest=] [schema-registry=] [modes=] [history=] [events-rate=] [bytes-rate=] [copy-retention=] [copy-bytes=] [max-lag=] [overlag=]", flow::create),
    entry("UPDATE FLOW", "UPDATE FLOW flow [partitions=] [retention=] [access=] [content-type=] [schema=] [schema-digest=] [schema-registry=] [modes=] [history=] [events-rate=] [bytes-rate=] [copy-retention=] [copy-bytes=] [max-lag=] [overlag=]", flow::update),
    entry("DESCRIBE FLOW", "DESCRIBE FLOW flow", flow::describe),
    entry("DELETE FLOW", "DELETE FLOW flow", flow::delete),
    entry("GET FLOWS", "GET FLOWS [namespace]", flow::list),
    entry("GRANT", "GRANT right ON flow-or-namespace TO principal", grant::grant),
    entry("REVOKE", "REVOKE right ON flow-or-namespace FROM principal", grant::revoke),
    entry("GET GRANTS", "GET GRANTS flow-or-namespace", grant::list),
    entry("SUBSCRIBE", "SUBSCRIBE flow [LOCAL flow] [from=] [mode=] [on-gap=] [delivery=] [commit-interval=] [validate=] [registry-from=] [registry-to=] [registry-keys=] [on-unknown-schema=] [id=] [for=] [position=] [credential=again]", subscribe::parse),
    entry("UNSUBSCRIBE", "UNSUBSCRIBE flow [id=]", subscription::unsubscribe),
    entry("PAUSE SUBSCRIPTION", "PAUSE SUBSCRIPTION local-flow", subscription::pause),
    entry("RESUME SUBSCRIPTION", "RESUME SUBSCRIPTION local-flow", subscription::resume),
    entry("STOP SUBSCRIPTION", "STOP SUBSCRIPTION local-flow", subscription::stop),
    entry("DESCRIBE SUBSCRIPTION", "DESCRIBE SUBSCRIPTION local-flow", subscription::describe),
    entry("GET SUBSCRIPTIONS", "GET SUBSCRIPTIONS", subscription::list),
    entry("GET SUBSCRIBERS", "GET SUBSCRIBERS [flow]", subscriber::list),
    entry("REMOVE SUBSCRIBER", "REMOVE SUBSCRIBER flow subscriber", subscriber::remove),
    entry("APPROVE SUBSCRIBER", "APPROVE SUBSCRIBER flow subscriber", subscriber::approve),
    entry("UPDATE SUBSCRIBER", "UPDATE SUBSCRIBER flow subscriber [events-rate=] [bytes-rate=] [copy-retention=] [copy-bytes=] [max-lag=] [overlag=]", subscriber::update),
    entry("DESCRIBE SUBSCRIBER", "DESCRIBE SUBSCRIBER flow subscriber", subscriber::describe),
    entry("PAUSE SUBSCRIBER", "PAUSE SUBSCRIBER flow subscriber", subscriber::pause),
    entry("RESUME SUBSCRIBER", "RESUME SUBSCRIBER flow subscriber", subscriber::resume),
    entry("PAUSE FLOW", "PAUSE FLOW flow", flow::pause),
    entry("RESUME FLOW", "RESUME FLOW flow", flow::resume),
    entry("STOP FLOW", "STOP FLOW flow", flow::stop),
    entry("READ FLOW", "READ FLOW flow [from=] [max=] [follow=] [format=]", read::parse),
    entry("WRITE FLOW", "WRITE FLOW flow [format=] [processor= source= first= next= to= [epoch=]]", write::parse),
    entry("GET POSITIONS", "GET POSITIONS flow processor", write::positions),
    entry("CREATE PROCESSOR", "CREATE PROCESSOR processor type= from= to= [start=] [on-gap=] [annotate=] [fair=] [delivery=] [commit-interval=] [program=] [grpc=] [grpcs=] [window=] [tumbling=] [by=] [validate=] [registry-from=] [registry-to=] [registry-keys=] [on-unknown-schema=]", processor::create),
    entry("UPDATE PROCESSOR", "UPDATE PROCESSOR processor [type=] [from=] [to=] [add-from=] [remove-from=] [add-to=] [remove-to=] [start=] [on-gap=] [annotate=] [fair=] [delivery=] [commit-interval=] [program=] [grpc=] [grpcs=] [validate=] [registry-from=] [registry-to=] [registry-keys=] [on-unknown-schema=]", processor::update),
    entry("PAUSE PROCESSOR", "PAUSE PROCESSOR processor", processor::pause),
    entry("RESUME PROCESSOR", "RESUME PROCESSOR processor", processor::resume),
    entry("STOP PROCESSOR", "STOP PROCESSOR processor", processor::stop),
    entry("DELETE PROCESSOR", "DELETE PROCESSOR processor", processor::delete),
    entry("DESCRIBE PROCESSOR", "DESCRIBE PROCESSOR processor", processor::describe),
    entry("GET PROCESSORS", "GET PROCESSORS", processor::list),
    entry("GET BROKERS", "GET BROKERS", component::brokers),
    entry("GET NAMESERVERS", "GET NAMESERVERS", component::nameservers),
    entry("GET AGENTS", "GET AGENTS", component::agents),
    entry("DESCRIBE BROKER", "DESCRIBE BROKER broker", component::broker),
    entry("DESCRIBE NAMESERVER", "DESCRIBE NAMESERVER nameserver", component::nameserver),
    entry("DESCRIBE AGENT", "DESCRIBE AGENT agent", component::agent),
    entry("RESOLVE", "RESOLVE flow", flow::resolve),
];

pub(super) fn parse(text: &str) -> Result<Command, CommandError> {
    let mut words = Words::of(text)?;
    let verb = words.next_raw().ok_or(SyntaxError::Empty)?;
    let entry = match one_word_command(verb) {
        Some(entry) => entry,
        None => two_word_command(verb, words.next_raw())?,
    };
    let mut arguments = words.arguments_of(entry.name);
    let command = (entry.parse)(&mut arguments)?;
    arguments.finish()?;
    Ok(command)
}

fn one_word_command(verb: &str) -> Option<&'static Entry> {
    COMMANDS
        .iter()
        .find(|entry| entry.name.eq_ignore_ascii_case(verb))
}

fn two_word_command(verb: &str, noun: Option<&str>) -> Result<&'static Entry, SyntaxError> {
    let described = if verb.eq_ignore_ascii_case("DESC") {
        "DESCRIBE"
    } else {
        verb
    };
    let of_verb: Vec<_> = COMMANDS
        .iter()
        .filter_map(|entry| Some((entry, entry.name.split_once(' ')?)))
        .filter(|(_, (known, _))| known.eq_ignore_ascii_case(described))
        .collect();
    let Some((_, (verb, _))) = of_verb.first() else {
        return Err(SyntaxError::UnknownCommand(QuotedVerb::new(verb)));
    };
    let is_noun = |known: &str| noun.is_some_and(|noun| is_noun(known, noun));
    let found = of_verb.iter().find(|(_, (_, known))| is_noun(known));
    found.map(|(entry, _)| *entry).ok_or_else(|| {
        let nouns: Vec<_> = of_verb.iter().map(|(_, (_, noun))| *noun).collect();
        SyntaxError::UnknownNoun {
            verb,
            known: nouns.join(", "),
        }
    })
}

fn is_noun(known: &str, noun: &str) -> bool {
    let short = match known {
        "NAMESPACES" => "NS",
        "FLOWS" => "FL",
        _ => known,
    };
    noun.eq_ignore_ascii_case(known) || noun.eq_ignore_ascii_case(short)
}

/// The line of a command. One arm for each, so that a new command can't be forgotten.
#[rustfmt::skip]
pub(super) fn line(command: &Command) -> Line {
    let named = |words, name| Line::of(words).word(name);
    match command {
        Command::StartTls => Line::of("STARTTLS"),
        Command::Capabilities => Line::of("CAPABILITIES"),
        Command::Authenticate { mechanism, initial } => authenticate::line(mechanism, initial.as_deref()),
        Command::EnableAttributes => Line::of("ENABLE ATTRIBUTES"),
        Command::Noop => Line::of("NOOP"),
        Command::Help => Line::of("HELP"),
        Command::Quit => Line::of("QUIT"),
        Command::WhoAmI => Line::of("WHOAMI"),
        Command::CreateNamespace(name, options) => namespace::options(named("CREATE NAMESPACE", name), options),
        Command::UpdateNamespace(name, options) => namespace::options(named("UPDATE NAMESPACE", name), options),
        Command::DescribeNamespace(name) => named("DESCRIBE NAMESPACE", name),
        Command::DeleteNamespace(name) => named("DELETE NAMESPACE", name),
        Command::GetNamespaces => Line::of("GET NAMESPACES"),
        Command::CreateFlow(name, options) => flow::options(named("CREATE FLOW", name), options),
        Command::UpdateFlow(name, options) => flow::options(named("UPDATE FLOW", name), options),
        Command::DescribeFlow(name) => named("DESCRIBE FLOW", name),
        Command::DeleteFlow(name) => named("DELETE FLOW", name),
        Command::GetFlows(namespace) => Line::of("GET FLOWS").optional_word(namespace.as_ref()),
        Command::Grant(right, name, principal) => grant::line("GRANT", *right, name, "TO", principal),
        Command::Revoke(right, name, principal) => grant::line("REVOKE", *right, name, "FROM", principal),
        Command::GetGrants(name) => named("GET GRANTS", name),
        Command::SubscribeLocal { remote, local, options } => subscribe::local_line(remote, local, options),
        Command::SubscribeRemote(name, options) => subscribe::remote_line(name, options),
        Command::Unsubscribe(name) => named("UNSUBSCRIBE", name),
        Command::UnsubscribeRemote(name, id) => named("UNSUBSCRIBE", name).option("id", Some(id)),
        Command::PauseSubscription(name) => named("PAUSE SUBSCRIPTION", name),
        Command::ResumeSubscription(name) => named("RESUME SUBSCRIPTION", name),
        Command::StopSubscription(name) => named("STOP SUBSCRIPTION", name),
        Command::DescribeSubscription(name) => named("DESCRIBE SUBSCRIPTION", name),
        Command::GetSubscriptions => Line::of("GET SUBSCRIPTIONS"),
        Command::GetSubscribers(flow) => Line::of("GET SUBSCRIBERS").optional_word(flow.as_ref()),
        Command::RemoveSubscriber(name, label) => named("REMOVE SUBSCRIBER", name).argument(label),
        Command::ApproveSubscriber(name, label) => named("APPROVE SUBSCRIBER", name).argument(label),
        Command::PauseSubscriber(name, label) => named("PAUSE SUBSCRIBER", name).argument(label),
        Command::ResumeSubscriber(name, label) => named("RESUME SUBSCRIBER", name).argument(label),
        Command::UpdateSubscriber(name, label, options) => subscriber::update_line(name, label, options),
        Command::DescribeSubscriber(name, label) => named("DESCRIBE SUBSCRIBER", name).argument(label),
        Command::PauseFlow(name) => named("PAUSE FLOW", name),
        Command::ResumeFlow(name) => named("RESUME FLOW", name),
        Command::StopFlow(name) => named("STOP FLOW", name),
        Command::ReadFlow(name, options) => read::line(name, options),
        Command::WriteFlow { flow, format, position } => write::line(flow, *format, position.as_ref()),
        Command::GetPositions(flow, processor) => named("GET POSITIONS", flow).argument(processor),
        Command::CreateProcessor(name, options) => processor::line("CREATE PROCESSOR", name, options),
        Command::UpdateProcessor(name, options) => processor::line("UPDATE PROCESSOR", name, options),
        Command::PauseProcessor(name) => Line::of("PAUSE PROCESSOR").argument(name),
        Command::ResumeProcessor(name) => Line::of("RESUME PROCESSOR").argument(name),
        Command::StopProcessor(name) => Line::of("STOP PROCESSOR").argument(name),
        Command::DeleteProcessor(name) => Line::of("DELETE PROCESSOR").argument(name),
        Command::DescribeProcessor(name) => Line::of("DESCRIBE PROCESSOR").argument(name),
        Command::GetProcessors => Line::of("GET PROCESSORS"),
        Command::GetComponents(ComponentKind::Broker) => Line::of("GET BROKERS"),
        Command::GetComponents(ComponentKind::Nameserver) => Line::of("GET NAMESERVERS"),
        Command::GetComponents(ComponentKind::Agent) => Line::of("GET AGENTS"),
        Command::DescribeComponent(ComponentKind::Broker, name) => Line::of("DESCRIBE BROKER").argument(name),
        Command::DescribeComponent(ComponentKind::Nameserver, name) => Line::of("DESCRIBE NAMESERVER").argument(name),
        Command::DescribeComponent(ComponentKind::Agent, name) => Line::of("DESCRIBE AGENT").argument(name),
        Command::Resolve(name) => named("RESOLVE", name),
    }
}
