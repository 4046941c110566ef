use kafka_protocol::messages::metadata_response::MetadataResponsePartition;

use super::*;

fn found(partitions: &[(i32, i32)]) -> Result<Topic, String> {
    let partition = |(index, leader): &(i32, i32)| {
        MetadataResponsePartition::default()
            .with_partition_index(*index)
            .with_leader_id(BrokerId(*leader))
    };
    let partitions = partitions.iter().map(partition).collect();
    let found = MetadataResponseTopic::default().with_partitions(partitions);
    topic("orders", found)
}

#[test]
fn partitions_are_told_of_in_any_order() {
    let topic = found(&[(2, 7), (0, 5), (1, -1)]).expect("a topic");
    let leaders = [Some(BrokerId(5)), None, Some(BrokerId(7))];
    assert_eq!(topic.leaders, leaders);
    assert_eq!(found(&[]).expect("none yet").partitions(), 0);
}

#[test]
fn of_two_leaders_the_later_one_counts() {
    let topic = |partitions: &[(i32, i32)]| Topic {
        name: topic_name("orders"),
        id: Uuid::from_u128(1),
        leaders: partitions.iter().map(|it| Some(BrokerId(it.0))).collect(),
        epochs: partitions.iter().map(|it| it.1).collect(),
    };
    let known = topic(&[(1, 5), (1, 5), (1, 5), (1, 5), (1, -1)]);
    let found = topic(&[(2, 4), (2, 5), (2, 6), (2, -1), (2, 0), (2, 0)]);
    let newer = topic(&[(1, 5), (2, 5), (2, 6), (2, -1), (2, 0), (2, 0)]);
    assert_eq!(found.newer_than(&known), newer);
}

#[test]
fn a_partition_that_cannot_be_is_refused() {
    for index in [2, i32::MAX, -1, i32::MIN] {
        let cause = found(&[(0, 5), (index, 5)]).expect_err("too large");
        assert!(cause.contains("`orders`"), "{cause}");
    }
}
