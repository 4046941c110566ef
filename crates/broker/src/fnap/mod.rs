//! The kind that is no broker of its own: a flow read and written through its FNAA, by READ FLOW
//! and WRITE FLOW with `format=record`. So processors reach `local` queues, at home and abroad,
//! and brokers behind a firewall.
//!
//! # What reading expects of the FNAA
//!
//! ```text
//! C: READ FLOW f from=earliest from=cursor:0-120,1-0 follow=true format=record
//! S: 220 DATA
//! S: {"partition":0,"next":120,"high_watermark":122}
//! S: {"partition":1,"next":0,"high_watermark":0}
//! S: {"partition":0,"offset":120,"timestamp":1700000000000,"key":null,"value":"YQ==","headers":[]}
//! S: {"partition":0,"offset":121,…}
//! S: {"partition":0,"next":122,"high_watermark":122}
//! C: (an empty line)
//! S: 220 OK
//! ```
//! - The cursor names the next offset of each partition; `from=` holds for those it doesn't name.
//! - A *position line*, without `offset`, says: everything of the partition before `next` was
//!   sent or does not exist, and records up to before `high_watermark` may be read. The FNAA
//!   sends one for every partition first, so that the client knows how many there are and where
//!   it begins; then one behind every run of records (one chunk of its own reader is one run);
//!   and one for each partition that appears later.
//! - A *gap line* `{"partition":0,"out_of_range":{"wanted":3,"earliest":5,"latest":9}}` says that
//!   the records asked for are gone; the FNAA goes on at `earliest`.
//! - Nothing is sent while nothing happens: TCP's keep-alive finds a peer that has vanished.
//! - The FNAA ends the reading with a status: `557` when the right was revoked, `552` when it was
//!   suspended or taken away, `550` when the flow is gone; `4xx` and a lost connection are waited
//!   out here, and reading goes on at the last position line.
//!
//! # What writing expects of the FNAA
//!
//! ```text
//! C: GET POSITIONS f bridge-1@5f3c…
//! S: 220 DATA
//! S: 0=120
//! S: 1=7
//! S: 220 OK
//! C: WRITE FLOW f format=record processor=bridge-1@5f3c… source=0 first=120 next=122 to=0
//! S: 354 …
//! C: {"offset":120,"timestamp":1700000000000,"key":null,"value":"YQ==","headers":[]}
//! C: {"offset":121,…}
//! C: .
//! S: 220 OK 2
//! ```
//! - GET POSITIONS answers one attribute line for each partition of the source, its next offset;
//!   no line where nothing is stored.
//! - The records' `offset` is that of the source. The FNAA writes those from the stored position
//!   on, into partition `to`, and stores `next` in the same transaction; a batch whose `next` is
//!   not behind the stored position is answered `220` and changes nothing. So a batch whose
//!   answer was lost is sent again.
//! - A batch without records only stores the position.
//! - Without `processor=` (a writer that stores no positions) records go where their key says.
//!
//! # What describing expects of the FNAA
//!
//! The attributes `partitions`, `queue-id` (the queue's identity at its broker) and for each
//! partition `range=P:EARLIEST-LATEST` of DESCRIBE FLOW, beside those that every client gets.
