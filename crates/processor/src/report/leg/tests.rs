use eson_broker::BrokerError;

use super::*;

fn ten_records(report: &LegReport, partition: u32, high_watermark: u64) {
    let measure = Measure {
        records: 10,
        bytes: 1_000,
    };
    report.copied(partition, high_watermark, measure, Some(7_000));
}

fn report() -> LegReport {
    LegReport::new("leg".into(), Weak::new(), State::Starting)
}

#[test]
fn lag_is_what_is_not_yet_written() {
    let report = report();
    let progress = Progress {
        written: 5,
        high_watermark: 25,
    };
    report.opened(
        QueueId("q1".into()),
        Delivery::ExactlyOnce,
        Positions::new(),
        [(0, progress)].into(),
    );
    assert_eq!(report.to_proto().lag, 20);
    assert_eq!(report.to_proto().behind_since, None, "not known yet");
    ten_records(&report, 0, 35);
    let status = report.to_proto();
    assert_eq!(status.lag, 30, "handed over is not yet written");
    assert_eq!(status.behind_since, Some(7_000));
    report.stored([(0, 12)].into(), [(0, 15)].into());
    let status = report.to_proto();
    assert_eq!((status.lag, status.records, status.bytes), (20, 10, 1_000));
    assert_eq!(status.stored, [(0, 12)].into());
    assert_eq!(status.source_id, "q1");
    assert_eq!(status.delivery(), proto::Delivery::ExactlyOnce);
    report.stored([(0, 35)].into(), [(0, 35)].into());
    assert_eq!(report.to_proto().behind_since, None, "nothing is missing");
}

#[test]
fn what_is_hidden_is_told_until_it_arrives() {
    let report = report();
    let hanging = BrokerError::Hanging {
        queue: "time".into(),
        partition: 1,
        offset: 5,
        producer: Some(7),
        seconds: 65,
    };
    report.hidden(Trouble::at_source(&hanging));
    ten_records(&report, 0, 35);
    let error = report.to_proto().error.expect("still hidden");
    assert_eq!(error.kind(), proto::error::Kind::Hanging);
    assert!(
        error.text.contains("producer 7 open since 65 s"),
        "{error:?}"
    );
    ten_records(&report, 1, 6);
    assert_eq!(report.to_proto().error, None);
}

#[test]
fn an_event_with_an_unknown_schema_counts_once_however_often_it_is_read() {
    let report = report();
    let unknown = |offsets: &[u64]| -> Vec<_> {
        let why = |offset: &u64| (*offset, "is unknown".to_owned());
        offsets.iter().map(why).collect()
    };
    let open = |source: &str| {
        let (source, delivery) = (QueueId(source.into()), Delivery::ExactlyOnce);
        report.opened(source, delivery, Positions::new(), BTreeMap::new());
    };
    open("q1");
    report.passed_unknown(0, &unknown(&[3, 5]));
    report.passed_unknown(1, &unknown(&[4]));
    open("q1");
    report.passed_unknown(0, &unknown(&[3, 5]));
    assert_eq!(report.to_proto().error, None, "nothing new");
    report.passed_unknown(0, &unknown(&[5, 6]));
    assert_eq!(report.to_proto().unknown_schemas, 4);
    open("q2");
    report.passed_unknown(0, &unknown(&[3]));
    assert_eq!(report.to_proto().unknown_schemas, 5);
}

#[test]
fn recovering_clears_the_error_and_losing_keeps_it() {
    let report = report();
    let trouble = || Trouble::at_source(&BrokerError::NotFound("time".into()));
    report.enter_with(State::Retrying, trouble());
    assert!(report.to_proto().error.is_some());
    report.opened(
        QueueId("q1".into()),
        Delivery::AtLeastOnce,
        Positions::new(),
        BTreeMap::new(),
    );
    assert_eq!(report.to_proto().error, None);
    report.lost(7, trouble());
    let status = report.to_proto();
    assert_eq!(status.state(), proto::State::Running);
    assert_eq!(status.lost, 7);
    assert!(status.error.is_some());
}
