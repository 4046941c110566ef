//! An independent look at what a name server answers.

use std::net::SocketAddr;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the server answers over TCP.
pub(crate) async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Message {
    exchange(server, &question(name, kind)).await
}

/// A recursive question without EDNS.
pub(crate) fn question(name: &str, kind: RecordType) -> Message {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    let name = Name::from_ascii(name).expect("a name");
    question.add_query(Query::query(name, kind));
    question
}

/// What the server answers to this message over TCP.
pub(crate) async fn exchange(server: SocketAddr, message: &Message) -> Message {
    let octets = message.to_vec().expect("a message");
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    let length = u16::try_from(octets.len()).expect("a short message");
    stream.write_u16(length).await.expect("sent");
    stream.write_all(&octets).await.expect("sent");
    let length = stream.read_u16().await.expect("a length");
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.expect("an answer");
    Message::from_vec(&answer).expect("a message")
}

/// The set at a name in zone-file syntax, sorted; empty when there is none.
pub(crate) async fn set(server: SocketAddr, name: &str, kind: RecordType) -> Vec<String> {
    let answer = ask(server, name, kind).await;
    let code = answer.metadata.response_code;
    assert!(
        matches!(code, ResponseCode::NoError | ResponseCode::NXDomain),
        "{name} {kind}: {code}"
    );
    let mut records: Vec<String> = answer.answers.iter().map(printed).collect();
    records.sort();
    records
}

fn printed(record: &Record) -> String {
    let RData::TXT(txt) = &record.data else {
        return record.to_string();
    };
    let strings = txt.txt_data.iter().map(|text| {
        let text = String::from_utf8_lossy(text);
        format!("\"{text}\"")
    });
    let strings: Vec<String> = strings.collect();
    format!(
        "{} {} IN TXT {}",
        record.name,
        record.ttl,
        strings.join(" ")
    )
}
