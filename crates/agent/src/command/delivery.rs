//! What SUBSCRIBE and processors may ask for of delivery, by where the events go.

use std::time::Duration;

use eson_processor::MAX_COMMIT_INTERVAL;
use eson_protocol::text::format_duration;
use eson_protocol::{BrokerKind, Code, Delivery, DeliveryOptions, Name, Status};

use super::Request;

impl Request<'_> {
    /// Whether events can be delivered so to a flow at a broker.
    ///
    /// # Errors
    /// 501 for an interval that can't be, 502 for what the broker has no use for, 501 for a broker
    /// that is not there.
    pub(super) fn check_delivery(
        &self,
        options: DeliveryOptions,
        flow: &Name,
        broker: &str,
    ) -> Result<(), Status> {
        check_interval(options)?;
        let kind = self.participant.brokers.require(broker)?.kind;
        let asks =
            options.commit_interval.is_some() || options.delivery == Some(Delivery::AtLeastOnce);
        if kind == BrokerKind::Local && asks {
            let text = format!(
                "{flow} lies in the embedded broker, which delivers exactly once and at once: leave out delivery=at-least-once and commit-interval="
            );
            return Err(Status::unsupported(text));
        }
        Ok(())
    }
}

/// Whether the interval is one, whatever the broker.
///
/// # Errors
/// 501.
pub(super) fn check_interval(options: DeliveryOptions) -> Result<(), Status> {
    let Some(interval) = options.commit_interval else {
        return Ok(());
    };
    if options.delivery == Some(Delivery::AtLeastOnce) {
        let text = "commit-interval= is for delivery=exactly-once; at least once is not committed";
        return Err(Status::new(Code::Argument, text));
    }
    let most = MAX_COMMIT_INTERVAL;
    if interval == 0 || Duration::from_millis(interval) > most {
        let text = format!(
            "commit-interval={} can't be: 1ms to {} can",
            format_duration(interval),
            format_duration(crate::participant::milliseconds(most)),
        );
        return Err(Status::new(Code::Argument, text));
    }
    Ok(())
}

/// What was asked for before, with what is asked for now.
pub(super) fn changed(before: DeliveryOptions, options: DeliveryOptions) -> DeliveryOptions {
    let mut wanted = options.or(before);
    if wanted.delivery == Some(Delivery::AtLeastOnce) && options.commit_interval.is_none() {
        wanted.commit_interval = None;
    }
    wanted
}

/// Delivery as data lines tell it, where something is said of it.
pub(super) fn words(options: DeliveryOptions) -> Vec<(&'static str, String)> {
    let delivery = options.delivery.map(|it| it.as_str().to_owned());
    let interval = options.commit_interval.map(format_duration);
    [("delivery", delivery), ("commit-interval", interval)]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_bounds_and_a_purpose() {
        let interval = |delivery, commit_interval| {
            check_interval(DeliveryOptions {
                delivery,
                commit_interval: Some(commit_interval),
            })
        };
        assert_eq!(interval(None, 1), Ok(()));
        assert_eq!(interval(Some(Delivery::ExactlyOnce), 10_000), Ok(()));
        for (delivery, wrong) in [
            (None, 0),
            (None, 10_001),
            (None, u64::MAX),
            (Some(Delivery::AtLeastOnce), 100),
        ] {
            let refused = interval(delivery, wrong).expect_err("refused");
            assert_eq!(refused.code, Code::Argument.number());
        }
    }
}
