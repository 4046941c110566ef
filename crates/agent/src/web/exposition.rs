//! The text format that Prometheus scrapes, version 0.0.4.

use std::fmt::{Display, Write};

/// The media type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum MetricType {
    /// Goes up and down.
    Gauge,
    /// Goes up only, and begins anew with the process that counts.
    Counter,
}

/// A page of metrics under construction.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Begins a metric; its samples follow.
    pub(super) fn metric(
        &mut self,
        name: &'static str,
        kind: MetricType,
        help: &str,
    ) -> Samples<'_> {
        let kind = match kind {
            MetricType::Gauge => "gauge",
            MetricType::Counter => "counter",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        Samples { page: self, name }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// The samples of one metric.
#[derive(Debug)]
pub(super) struct Samples<'p> {
    page: &'p mut Exposition,
    name: &'static str,
}

impl Samples<'_> {
    /// One sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
            .collect();
        let name = self.name;
        match labels.is_empty() {
            true => self.page.line(format_args!("{name} {value}")),
            false => self
                .page
                .line(format_args!("{name}{{{}}} {value}", labels.join(","))),
        }
        self
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_prometheus_reads() {
        let mut page = Exposition::default();
        page.metric("fnaad_sessions", MetricType::Gauge, "Sessions now.")
            .sample(&[], 3);
        page.metric(
            "fnaad_leg_records_total",
            MetricType::Counter,
            "Records moved.",
        )
        .sample(&[("kind", "a"), ("name", "b\"\\\n")], 7)
        .sample(&[("kind", "c")], 8.25);
        let expected = "# HELP fnaad_sessions Sessions now.\n\
                        # TYPE fnaad_sessions gauge\n\
                        fnaad_sessions 3\n\
                        # HELP fnaad_leg_records_total Records moved.\n\
                        # TYPE fnaad_leg_records_total counter\n\
                        fnaad_leg_records_total{kind=\"a\",name=\"b\\\"\\\\\\n\"} 7\n\
                        fnaad_leg_records_total{kind=\"c\"} 8.25\n";
        assert_eq!(page.finish(), expected);
    }
}
