//! The client against scripted servers: the draft's transcripts, byte for byte, and servers that
//! misbehave.

mod commands;
mod flows;
mod login;
mod script;
mod transport;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eson_client::{Client, ClientError, ConnectOptions, Dialer, Event, SystemLookup};
use eson_protocol::{AddressPolicy, Name};
use script::Script;

fn options() -> ConnectOptions {
    let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
    ConnectOptions {
        timeout: Duration::from_secs(20),
        ..ConnectOptions::new(dialer)
    }
}

async fn connect(transcript: &'static str) -> (Result<Client, ClientError>, Script) {
    let (stream, script) = Script::play(transcript);
    let client = Client::over(Box::new(stream), "the script", true, &options()).await;
    (client, script)
}

async fn connected(transcript: &'static str) -> (Client, Script) {
    let (client, script) = connect(transcript).await;
    (client.expect("a greeting"), script)
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// What `-d` would print.
#[derive(Clone, Default)]
struct Observed(Arc<Mutex<Vec<String>>>);

impl Observed {
    fn options(&self) -> ConnectOptions {
        let seen = self.0.clone();
        let observer = move |event: Event<'_>| {
            let line = match event {
                Event::Connecting(address) => format!("to {address}"),
                Event::Sent { line, octets } => format!("C {octets}: {line}"),
                Event::Received(line) => format!("S: {line}"),
            };
            seen.lock().expect("no panic before").push(line);
        };
        ConnectOptions {
            exchange: Some(Arc::new(observer)),
            ..options()
        }
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic before").clone()
    }
}
