//! Somebody on the way to the resolver, who passes everything but answers some questions himself.

use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, MessageType};
use hickory_proto::rr::{Name, Record, RecordType};
use tokio::net::UdpSocket;

use crate::internet::Internet;
use crate::question;

/// What is answered to one question in place of the truth.
#[derive(Clone)]
pub(crate) struct Lie {
    pub(crate) name: &'static str,
    pub(crate) kind: RecordType,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
}

impl Lie {
    /// There is no such record, says the SOA of `b.eu`, which is not signed.
    pub(crate) async fn denial(internet: &Internet, name: &'static str, kind: RecordType) -> Self {
        let soa = question::ask(internet.b, "b.eu.", RecordType::SOA).await;
        Self {
            name,
            kind,
            answers: Vec::new(),
            authorities: soa.answers,
        }
    }

    /// What the wildcard at `example` says, as if there were nothing closer to `name`.
    pub(crate) async fn wildcard(internet: &Internet, name: &'static str, example: &str) -> Self {
        let mut lie = Self::denial(internet, name, RecordType::SRV).await;
        let mut question = question::question(example, RecordType::SRV);
        let mut edns = Edns::new();
        edns.set_dnssec_ok(true);
        question.set_edns(edns);
        let truth = question::exchange(internet.a, &question).await;
        lie.answers = truth.answers;
        let name = Name::from_ascii(name).expect("a name");
        for record in &mut lie.answers {
            record.name = name.clone();
        }
        lie
    }

    fn is_about(&self, question: &Message) -> bool {
        let asked = &question.queries[0];
        let name = Name::from_ascii(self.name).expect("a name");
        *asked.name() == name && asked.query_type() == self.kind
    }

    fn answer(&self, question: &Message) -> Message {
        let mut forged = question.clone();
        forged.metadata.message_type = MessageType::Response;
        forged.metadata.recursion_available = true;
        forged.insert_answers(self.answers.clone());
        forged.insert_authorities(self.authorities.clone());
        forged
    }
}

/// Serves until the test ends, and lies as often as is said.
pub(crate) async fn forger(internet: &Internet, lie: Lie, mut times: u32) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    let resolver = internet.resolver;
    tokio::spawn(async move {
        let mut datagram = vec![0; usize::from(u16::MAX)];
        loop {
            let (length, client) = socket.recv_from(&mut datagram).await.expect("a question");
            let question = Message::from_vec(&datagram[..length]).expect("a message");
            let lies = times > 0 && lie.is_about(&question);
            let answer = match lies {
                true => lie.answer(&question),
                false => question::exchange(resolver, &question).await,
            };
            times -= u32::from(lies);
            let answer = answer.to_vec().expect("octets");
            socket.send_to(&answer, client).await.expect("sent");
        }
    });
    address
}
