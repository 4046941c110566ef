//! The quality of service that an owner lets subscribers have.

use eson_protocol::text::{format_duration, format_size};
use eson_protocol::{Limit, Overlag, QualityOptions};
use serde::{Deserialize, Serialize};

/// Limits for a flow's subscribers, or for one. What is absent is decided elsewhere: for a
/// subscriber by its flow, for a flow by the configuration. [`Limit::NONE`] is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Quality {
    /// Events a second.
    pub events_rate: Option<u64>,
    /// Octets a second.
    pub bytes_rate: Option<u64>,
    /// How long a copy keeps events, in milliseconds.
    pub copy_retention: Option<u64>,
    /// How many octets a copy keeps.
    pub copy_bytes: Option<u64>,
    /// How many events of its copy a subscriber may not have fetched yet.
    pub max_lag: Option<u64>,
    /// What becomes of the copy of one who lags more.
    pub overlag: Option<Overlag>,
}

impl Quality {
    /// Changes what the options name.
    pub(crate) fn apply(&mut self, options: &QualityOptions) {
        let set = |value: &mut Option<u64>, option: Option<Limit>| match option {
            None => {}
            Some(Limit::Default) => *value = None,
            Some(Limit::To(limit)) => *value = Some(limit),
        };
        set(&mut self.events_rate, options.events_rate);
        set(&mut self.bytes_rate, options.bytes_rate);
        set(&mut self.copy_retention, options.copy_retention);
        set(&mut self.copy_bytes, options.copy_bytes);
        set(&mut self.max_lag, options.max_lag);
        self.overlag = options.overlag.or(self.overlag);
    }

    /// What is said here, and what `default` says for the rest.
    #[must_use]
    pub(crate) fn or(self, default: Self) -> Self {
        Self {
            events_rate: self.events_rate.or(default.events_rate),
            bytes_rate: self.bytes_rate.or(default.bytes_rate),
            copy_retention: self.copy_retention.or(default.copy_retention),
            copy_bytes: self.copy_bytes.or(default.copy_bytes),
            max_lag: self.max_lag.or(default.max_lag),
            overlag: self.overlag.or(default.overlag),
        }
    }

    /// What is said, as `key=value` of the command that said it.
    pub(crate) fn words(&self) -> Vec<(&'static str, String)> {
        let number = |limit: Option<u64>| word(limit, |it| it.to_string());
        let size = |limit: Option<u64>| word(limit, format_size);
        let words = [
            ("events-rate", number(self.events_rate)),
            ("bytes-rate", size(self.bytes_rate)),
            ("copy-retention", word(self.copy_retention, format_duration)),
            ("copy-bytes", size(self.copy_bytes)),
            ("max-lag", number(self.max_lag)),
            ("overlag", self.overlag.map(|it| it.as_str().to_owned())),
        ];
        words
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

/// A limit that is one.
#[must_use]
pub(crate) fn limited(limit: Option<u64>) -> Option<u64> {
    limit.filter(|limit| *limit != Limit::NONE)
}

fn word(limit: Option<u64>, format: impl FnOnce(u64) -> String) -> Option<String> {
    limit.map(|limit| match limit {
        Limit::NONE => "none".to_owned(),
        limit => format(limit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_has_what_its_flow_says_unless_it_has_its_own() {
        let flow = Quality {
            events_rate: Some(100),
            max_lag: Some(7),
            ..Quality::default()
        };
        let mut own = Quality::default();
        own.apply(&QualityOptions {
            events_rate: Some(Limit::To(Limit::NONE)),
            bytes_rate: Some(Limit::To(1 << 20)),
            ..QualityOptions::default()
        });
        let both = own.or(flow);
        assert_eq!(limited(both.events_rate), None);
        assert_eq!(both.max_lag, Some(7));
        let words = [
            ("events-rate", "none".to_owned()),
            ("bytes-rate", "1MiB".to_owned()),
            ("max-lag", "7".to_owned()),
        ];
        assert_eq!(both.words(), words);
        own.apply(&QualityOptions {
            events_rate: Some(Limit::Default),
            ..QualityOptions::default()
        });
        assert_eq!(own.or(flow).events_rate, Some(100));
    }
}
