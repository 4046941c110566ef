use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use eson_broker::Payload;
use eson_protocol::Record;
use futures::FutureExt;

use super::*;

/// Reads what it was given, then waits for ever.
struct Given(VecDeque<Result<Chunk, BrokerError>>);

#[async_trait]
impl QueueReader for Given {
    fn partitions(&self) -> u32 {
        1
    }

    async fn next(&mut self) -> Result<Chunk, BrokerError> {
        match self.0.pop_front() {
            Some(read) => read,
            None => std::future::pending().await,
        }
    }
}

/// A record of 100 bytes.
fn chunk(offset: u64) -> Result<Chunk, BrokerError> {
    sized(offset, 100)
}

fn sized(offset: u64, bytes: usize) -> Result<Chunk, BrokerError> {
    let record = Record {
        offset,
        timestamp: -1,
        key: None,
        value: Some(vec![0; bytes].into()),
        headers: Vec::new(),
    };
    Ok(Chunk {
        partition: 0,
        first: offset,
        next: offset + 1,
        high_watermark: offset + 1,
        epoch: None,
        payload: Payload::Records(vec![record]),
    })
}

fn gap(wanted: u64, earliest: u64, latest: u64) -> Result<Chunk, BrokerError> {
    Err(BrokerError::OutOfRange {
        queue: "time".to_owned(),
        partition: 0,
        wanted,
        earliest,
        latest,
    })
}

fn tail(
    reads: impl IntoIterator<Item = Result<Chunk, BrokerError>>,
    share: usize,
) -> (Arc<Tail>, Seat) {
    let reader = Box::new(Given(reads.into_iter().collect()));
    Tail::begin(reader, at(0), share)
}

/// Nothing is known of leaders.
fn at(offset: u64) -> Reached {
    Reached {
        positions: [(0, offset)].into(),
        ..Reached::default()
    }
}

/// The last record before the offset was written under that leader.
fn under(epoch: i32, offset: u64) -> Reached {
    Reached {
        epochs: [(0, epoch)].into(),
        ..at(offset)
    }
}

fn written_under(epoch: i32, offset: u64) -> Result<Chunk, BrokerError> {
    let epoch = Some(epoch);
    chunk(offset).map(|chunk| Chunk { epoch, ..chunk })
}

/// What the seat has at once: the offset, or what else it says.
fn next(seat: &mut Seat, reached: &mut Reached) -> Result<u64, &'static str> {
    match seat.next(reached).now_or_never() {
        None => Err("waits"),
        Some(Next::FellBehind) => Err("fell behind"),
        Some(Next::Read(Err(_))) => Err("error"),
        Some(Next::Read(Ok(chunk))) => Ok(chunk.first),
    }
}

#[test]
fn what_one_reads_all_have() {
    let (tail, mut first) = tail((0..3).map(chunk), 1_000);
    let mut second = tail.clone().seat(&at(0)).expect("a seat");
    let (mut one, mut two) = (at(0), at(0));
    for offset in 0..3 {
        assert_eq!(next(&mut first, &mut one), Ok(offset));
    }
    assert_eq!(next(&mut first, &mut one), Err("waits"));
    for offset in 0..3 {
        assert_eq!(next(&mut second, &mut two), Ok(offset));
    }
    assert_eq!((one, two), (at(3), at(3)));
    let mut third = tail.seat(&at(2)).expect("a seat");
    let mut three = at(2);
    assert_eq!(
        next(&mut third, &mut three),
        Ok(2),
        "what it has is left out"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_leg_is_waited_for_and_then_falls_behind_and_memory_is_bounded() {
    let (tail, mut fast) = tail((0..100).map(chunk), 500);
    let mut slow = tail.clone().seat(&at(0)).expect("a seat");
    let (mut ahead, mut behind) = (at(0), at(0));
    while next(&mut fast, &mut ahead).is_ok() {}
    assert_eq!(ahead, at(10), "no further without the other");
    assert_eq!(next(&mut slow, &mut behind), Ok(0));
    assert_eq!(next(&mut fast, &mut ahead), Ok(10));
    while ahead.positions[&0] < 100 {
        fast.next(&mut ahead).await;
    }
    assert!(tail.kept().bytes() <= 1_000);
    assert_eq!(next(&mut slow, &mut behind), Err("fell behind"));
    assert!(tail.clone().seat(&at(89)).is_none());
    assert!(tail.seat(&at(90)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_slow_leg_that_is_waited_for_is_not_left_behind_by_a_large_chunk() {
    let size = |offset| if offset % 2 == 0 { 100 } else { 450 };
    let (tail, mut fast) = tail((0..200).map(|offset| sized(offset, size(offset))), 500);
    let mut slow = tail.clone().seat(&at(0)).expect("a seat");
    let (mut ahead, mut behind) = (at(0), at(0));
    let fast = async {
        while ahead.positions[&0] < 200 {
            fast.next(&mut ahead).await;
            assert!(tail.kept().bytes() <= 1_000 + 450);
        }
    };
    let slow = async {
        for offset in 0..200 {
            match slow.next(&mut behind).await {
                Next::Read(Ok(chunk)) => assert_eq!(chunk.first, offset),
                _ => panic!("left behind at {offset}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::join!(fast, slow);
}

#[tokio::test(start_paused = true)]
async fn legs_that_are_slow_together_stay_together() {
    const LEGS: u64 = 20;
    let (tail, first) = tail((0..1_000).map(chunk), 100);
    let others = (1..LEGS).map(|_| tail.clone().seat(&at(0)).expect("a seat"));
    let seats: Vec<_> = std::iter::once(first).chain(others).collect();
    let legs = (0..LEGS).zip(seats).map(async |(number, mut seat)| {
        let mut reached = at(0);
        for order in 0..1_000 {
            match seat.next(&mut reached).await {
                Next::Read(Ok(chunk)) => assert_eq!(chunk.first, order),
                _ => panic!("leg {number} is alone at {order}"),
            }
            // The first one always waits for the others, of which another one each time is last.
            if number > 0 {
                let busy = 200 + 40 * ((number + order) % 10);
                sleep(Duration::from_millis(busy)).await;
            }
        }
    });
    futures::future::join_all(legs).await;
}

#[test]
fn who_waits_first_may_leave_and_the_next_one_reads() {
    let (tail, mut first) = tail((0..1).map(chunk), 1_000);
    let mut second = tail.seat(&at(0)).expect("a seat");
    let mut one = at(0);
    let mut two = one.clone();
    assert_eq!(next(&mut first, &mut one), Ok(0));
    assert_eq!(next(&mut first, &mut one), Err("waits"));
    drop(first);
    assert_eq!(next(&mut second, &mut two), Ok(0));
    assert_eq!(next(&mut second, &mut two), Err("waits"));
}

#[test]
fn a_gap_is_met_by_those_before_it_and_a_truncation_by_all() {
    let (tail, mut first) = tail([gap(0, 5, 9), chunk(5), gap(6, 2, 3), chunk(2)], 1_000);
    let mut one = at(0);
    assert_eq!(next(&mut first, &mut one), Err("error"));
    assert_eq!(one, at(5));
    let mut later = tail.seat(&at(5)).expect("a seat");
    let mut two = at(5);
    assert_eq!(next(&mut later, &mut two), Ok(5));
    for (seat, reached) in [(&mut first, &mut one), (&mut later, &mut two)] {
        if reached.positions[&0] == 5 {
            assert_eq!(next(seat, reached), Ok(5));
        }
        assert_eq!(next(seat, reached), Err("error"));
        assert_eq!(next(seat, reached), Ok(2));
    }
}

#[test]
fn who_has_read_what_is_cut_off_goes_back_and_others_do_not() {
    let cut = BrokerError::Truncated {
        queue: "time".to_owned(),
        partition: 0,
        read: 2,
        end: 1,
    };
    let (tail, mut first) = tail([chunk(0), chunk(1), Err(cut), chunk(1)], 1_000);
    let mut behind = tail.clone().seat(&at(0)).expect("a seat");
    let (mut one, mut two) = (at(0), at(0));
    let all = |seat: &mut Seat, reached: &mut Reached| {
        let next = std::iter::from_fn(|| Some(next(seat, reached)));
        next.take(4).collect::<Vec<_>>()
    };
    let expected = [Ok(0), Ok(1), Err("error"), Ok(1)];
    assert_eq!(all(&mut first, &mut one), expected);
    assert_eq!(all(&mut behind, &mut two), expected);
    assert_eq!(one, two);
    // Who has been told of it must not be told again.
    assert!(tail.seat(&one).is_none());
}

#[test]
fn who_has_read_another_log_finds_that_out_by_itself() {
    let reads = [
        written_under(4, 1),
        written_under(4, 2),
        written_under(4, 3),
    ];
    let reader = Box::new(Given(reads.into()));
    let (tail, mut first) = Tail::begin(reader, under(3, 1), 1_000);
    // Of what the leader after that has written there, it has read what was cut off.
    let mut ahead = tail.clone().seat(&under(3, 3)).expect("a seat");
    assert_eq!(next(&mut ahead, &mut under(3, 3)), Err("fell behind"));
    let mut one = under(3, 1);
    assert_eq!(next(&mut first, &mut one), Ok(1));
    assert_eq!(one, under(4, 2));
    assert!(tail.clone().seat(&under(3, 2)).is_none());
    let mut second = tail.clone().seat(&under(4, 2)).expect("a seat");
    assert_eq!(next(&mut second, &mut under(4, 2)), Ok(2));
    assert!(tail.seat(&at(1)).is_some(), "it has read nothing");
}

#[test]
fn an_error_that_stays_ends_the_tail_for_all() {
    let gone = Err(BrokerError::NotFound("time".to_owned()));
    let (tail, mut first) = tail([gone], 1_000);
    let mut second = tail.clone().seat(&at(0)).expect("a seat");
    assert_eq!(next(&mut first, &mut at(0)), Err("error"));
    assert_eq!(next(&mut second, &mut at(0)), Err("error"));
    assert!(!tail.is_open());
    assert!(tail.seat(&at(0)).is_none());
}

#[test]
fn a_leg_far_ahead_of_a_slow_tail_does_not_wait_for_it() {
    let mut behind = chunk(0);
    if let Ok(chunk) = &mut behind {
        chunk.high_watermark = 1_000;
    }
    let (tail, mut first) = tail([behind], 1_000);
    assert_eq!(next(&mut first, &mut at(0)), Ok(0));
    assert!(tail.clone().seat(&at(500)).is_none());
    assert!(tail.seat(&at(1)).is_some());
}
