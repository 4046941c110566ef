//! One question to one server: UDP, or TCP for what is large.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// The largest UDP message that passes everywhere unfragmented (DNS flag day 2020).
pub(crate) const MAX_UDP_LENGTH: u16 = 1232;

/// Sends `request` in a datagram and waits for its answer; others' datagrams are passed over.
/// A random port and a random id (the caller's) make forging hard (RFC 5452).
pub(crate) async fn over_udp(
    server: SocketAddr,
    request: &[u8],
    limit: Duration,
) -> io::Result<Vec<u8>> {
    let local: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    let exchange = async {
        socket.send(request).await?;
        let mut datagram = vec![0; usize::from(u16::MAX)];
        loop {
            let length = socket.recv(&mut datagram).await?;
            if answers(request, &datagram[..length]) {
                datagram.truncate(length);
                return Ok(datagram);
            }
        }
    };
    timeout(limit, exchange)
        .await
        .unwrap_or_else(|late| Err(late.into()))
}

/// Sends `request` over a connection of its own (RFC 7766) and waits for its answer.
pub(crate) async fn over_tcp(
    server: SocketAddr,
    request: &[u8],
    limit: Duration,
) -> io::Result<Vec<u8>> {
    let length = u16::try_from(request.len()).map_err(|_| {
        let why = format!("the message has {} octets; DNS takes 65535", request.len());
        io::Error::new(io::ErrorKind::InvalidInput, why)
    })?;
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        stream
            .write_all(&[&length.to_be_bytes(), request].concat())
            .await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        match answers(request, &answer) {
            true => Ok(answer),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the answer belongs to another question",
            )),
        }
    };
    timeout(limit, exchange)
        .await
        .unwrap_or_else(|late| Err(late.into()))
}

/// Whether `datagram` answers `request`: same id, same question. A server that can't read the
/// question may leave it out.
fn answers(request: &[u8], datagram: &[u8]) -> bool {
    if datagram.get(..2) != request.get(..2) {
        return false;
    }
    let (Ok(request), Ok(answer)) = (Message::from_vec(request), Message::from_vec(datagram))
    else {
        return false;
    };
    answer.metadata.message_type == MessageType::Response
        && (answer.queries == request.queries || answer.queries.is_empty())
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::{Name, RecordType};
    use proptest::prelude::*;

    use super::*;

    fn question(id: u16, name: &str) -> Message {
        let mut message = Message::query();
        message.metadata.id = id;
        let name = Name::from_ascii(name).expect("a name");
        message.add_query(Query::query(name, RecordType::SRV));
        message
    }

    fn octets(message: &Message) -> Vec<u8> {
        message.to_vec().expect("a message")
    }

    #[test]
    fn only_the_answer_to_this_question_counts() {
        let request = octets(&question(7, "a.example."));
        let answer = |id, name| octets(&question(id, name).into_response());
        assert!(answers(&request, &answer(7, "a.example.")));
        assert!(!answers(&request, &answer(8, "a.example.")));
        assert!(!answers(&request, &answer(7, "b.example.")));
        assert!(!answers(&request, &request));
        assert!(!answers(&request, &request[..5]));
        assert!(!answers(&request, b""));
    }

    proptest! {
        #[test]
        fn junk_is_no_answer(junk in prop::collection::vec(any::<u8>(), 0..600)) {
            let request = octets(&question(7, "a.example."));
            prop_assert!(!answers(&request, &junk));
            let behind_the_id = [&request[..2], &junk].concat();
            prop_assert!(!answers(&request, &behind_the_id) || behind_the_id[2] & 0x80 != 0);
        }
    }

    #[tokio::test]
    async fn a_datagram_from_elsewhere_or_with_another_id_is_passed_over() {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = server.local_addr().expect("an address");
        let answering = tokio::spawn(async move {
            let mut request = [0; 512];
            let (length, client) = server.recv_from(&mut request).await.expect("a request");
            let request = Message::from_vec(&request[..length]).expect("a question");
            let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
            let right = octets(&request.clone().into_response());
            let mut forged = request.into_response();
            forged.metadata.id = forged.metadata.id.wrapping_add(1);
            stranger.send_to(&right, client).await.expect("sent");
            server
                .send_to(&octets(&forged), client)
                .await
                .expect("sent");
            server.send_to(b"junk", client).await.expect("sent");
            server.send_to(&right, client).await.expect("sent");
        });
        let request = octets(&question(7, "a.example."));
        let answer = over_udp(address, &request, Duration::from_secs(5)).await;
        assert!(answers(&request, &answer.expect("an answer")));
        answering.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_closed_port_is_an_error_at_once() {
        let closed = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = closed.local_addr().expect("an address");
        drop(closed);
        let request = octets(&question(7, "a.example."));
        let limit = Duration::from_secs(60);
        let udp = over_udp(address, &request, limit)
            .await
            .expect_err("nobody");
        assert_eq!(udp.kind(), io::ErrorKind::ConnectionRefused);
        let tcp = over_tcp(address, &request, limit)
            .await
            .expect_err("nobody");
        assert_eq!(tcp.kind(), io::ErrorKind::ConnectionRefused);
    }
}
