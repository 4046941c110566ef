use eson_client::{ConnectOptions, Dialer, SystemLookup};
use eson_protocol::AddressPolicy;

use super::super::FnapOptions;
use super::*;

/// A reader whose session is over.
fn reader(partitions: u32, buffer: usize) -> FnapReader {
    let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
    let link = Link::new(FnapOptions {
        servers: Vec::new(),
        connect: ConnectOptions::new(dialer),
        credentials: None,
    });
    FnapReader {
        link: Arc::new(link),
        flow: Name::parse("time.flows.orange.example").expect("a name"),
        id: QueueId("q1".to_owned()),
        partitions,
        session: None,
        connecting: None,
        trouble: Trouble::default(),
        told: None,
        positions: Positions::new(),
        since: None,
        gathered: Gathered::default(),
        buffer,
        ended: None,
    }
}

fn record(offset: u64, timestamp: i64) -> Record {
    Record {
        offset,
        timestamp,
        key: None,
        value: None,
        headers: Vec::new(),
    }
}

fn large(offset: u64) -> Record {
    Record {
        value: Some(vec![b'x'; 1_000].into()),
        ..record(offset, 0)
    }
}

#[test]
fn what_is_before_the_time_is_left_out_until_the_first_that_is_not() {
    let mut since = Since {
        time: 10,
        reached: BTreeSet::from([1]),
    };
    let times = [5, 9, 10, 3, 12];
    let permitted = times.map(|time| since.permits(0, &record(0, time)));
    assert_eq!(permitted, [false, false, true, true, true]);
    assert!(since.permits(1, &record(0, 1)), "its position was given");
}

#[test]
fn a_new_partition_is_counted_before_its_first_chunk_is_handed_out() {
    let mut reader = reader(3, 1);
    let taken = reader.take(Line::Record(3, large(0)));
    let chunk = taken.expect("a record").expect("more than the buffer");
    assert_eq!((chunk.partition, chunk.next), (3, 1));
    assert_eq!(reader.partitions(), 4);
}

#[test]
fn records_of_no_octets_fill_the_buffer_too() {
    let mut reader = reader(1, 1_000);
    let chunk = (0..20).find_map(|offset| {
        let taken = reader.take(Line::Record(0, record(offset, 0)));
        taken.expect("a record")
    });
    assert!(chunk.is_some(), "20 records and no chunk");
}

#[test]
fn a_partition_that_no_queue_has_is_refused() {
    let lines = [
        Line::Record(10_000, record(0, 0)),
        Line::Position {
            partition: u32::MAX,
            next: 1,
            high_watermark: 1,
        },
        Line::Gap {
            partition: 10_000,
            wanted: 0,
            earliest: 1,
            latest: 1,
        },
    ];
    for line in lines {
        let mut reader = reader(1, 1_000);
        let taken = reader.take(line);
        assert!(
            matches!(&taken, Err(BrokerError::Protocol { .. })),
            "{taken:?}"
        );
        assert_eq!(reader.partitions(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_that_lasts_is_told() {
    let mut reader = reader(1, 1_000);
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let told = tokio::time::timeout(week, reader.next()).await;
    let told = told.expect("within a week");
    assert!(
        matches!(&told, Err(BrokerError::Unreachable { .. })),
        "{told:?}"
    );
    let again = tokio::time::timeout(week, reader.next()).await;
    assert!(again.expect("within a week").is_err());
}
