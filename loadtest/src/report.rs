//! What is printed at the end.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::Measured;
use crate::push::Pushed;

/// The result of a run and its thresholds.
pub(crate) struct Report {
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
    pub(crate) p99_limit: Option<u64>,
    pub(crate) measured: Measured,
    pub(crate) pushed: Option<Pushed>,
}

const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

impl Report {
    /// Whether nothing was wrong and no threshold was exceeded.
    pub(crate) fn passed(&self) -> bool {
        self.failures().is_empty()
    }

    fn failures(&self) -> Vec<String> {
        let measured = &self.measured;
        let pushes = self.pushed.as_ref().map_or(0, |pushed| pushed.failed);
        let mut failures: Vec<_> = [
            (measured.wrong, "wrong answers"),
            (measured.broken, "requests lost with their connection"),
            (measured.unanswered, "requests not answered in time"),
            (pushes, "failed pushes"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        if let Some(limit) = self.p99_limit
            && self.p99_us() > limit as f64
        {
            failures.push(format!("p99 is {:.0} µs, above {limit}", self.p99_us()));
        }
        failures
    }

    fn p99_us(&self) -> f64 {
        microseconds(&self.measured.latency, 0.99)
    }

    /// Measured answers a second.
    fn achieved(&self) -> f64 {
        self.measured.latency.len() as f64 / self.measured.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The report: a table, or one line of JSON.
    pub(crate) fn text(&self, json: bool) -> String {
        if json { self.json() + "\n" } else { self.table() }
    }

    /// The report for people, as a table.
    pub(crate) fn table(&self) -> String {
        let measured = &self.measured;
        let mut text = format!(
            "{} answers of {} due in {} s at {} requests/s ({:.0} answers/s); unknown customers: {}\n\n{:<22}",
            measured.latency.len(),
            self.rate * self.seconds,
            self.seconds,
            self.rate,
            self.achieved(),
            measured.unknown,
            "µs"
        );
        for (name, _) in QUANTILES {
            let _ = write!(text, "{name:>10}"); // writing to a String cannot fail, here and below
        }
        text.push('\n');
        for (name, histogram) in [
            ("from intended start", &measured.latency),
            ("from sending", &measured.service),
            ("waited to be sent", &measured.waiting),
        ] {
            let _ = write!(text, "{name:<22}");
            for (_, quantile) in QUANTILES {
                let _ = write!(text, "{:>10.1}", microseconds(histogram, quantile));
            }
            text.push('\n');
        }
        text.push('\n');
        if let Some(pushed) = &self.pushed {
            let (count, slowest) = (pushed.offers.len(), milliseconds(pushed.slowest));
            let _ = writeln!(text, "rule set pushed {count} times, slowest {slowest:.1} ms");
        }
        for example in measured.examples.iter().chain(self.pushed.iter().flat_map(|p| &p.first_failure)) {
            let _ = writeln!(text, "  {example}");
        }
        let failures = self.failures();
        let verdict = if failures.is_empty() {
            "every answer was right".to_owned()
        } else {
            format!("FAILED: {}", failures.join("; "))
        };
        text + &verdict + "\n"
    }

    /// The report for machines: one line of JSON.
    pub(crate) fn json(&self) -> String {
        let measured = &self.measured;
        let mut text = format!(
            r#"{{"passed":{},"rate":{},"seconds":{},"measured":{},"answers_per_second":{:.1},"answered":{},"wrong":{},"broken":{},"unanswered":{},"unknown_customers":{}"#,
            self.passed(),
            self.rate,
            self.seconds,
            measured.latency.len(),
            self.achieved(),
            measured.answered,
            measured.wrong,
            measured.broken,
            measured.unanswered,
            measured.unknown,
        );
        for (name, histogram) in [
            ("latency_us", &measured.latency),
            ("service_us", &measured.service),
            ("waiting_us", &measured.waiting),
        ] {
            let quantiles = QUANTILES.map(|(q, at)| format!(r#""{q}":{:.1}"#, microseconds(histogram, at)));
            let _ = write!(text, r#","{name}":{{{}}}"#, quantiles.join(","));
        }
        if let Some(pushed) = &self.pushed {
            let (count, slowest) = (pushed.offers.len(), milliseconds(pushed.slowest));
            let _ = write!(
                text,
                r#","pushes":{count},"failed_pushes":{},"slowest_push_ms":{slowest:.1}"#,
                pushed.failed
            );
        }
        text + "}"
    }
}

fn microseconds(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(p99_limit: Option<u64>) -> Report {
        let mut measured = Measured::new().unwrap();
        for latency in 1..=100 {
            measured.latency.record(latency * 1000).unwrap();
        }
        Report { rate: 100, seconds: 1, p99_limit, measured, pushed: None }
    }

    #[test]
    fn a_threshold_or_one_wrong_answer_fails() {
        assert!(report(None).passed() && report(Some(100)).passed());
        let slow = report(Some(90));
        assert!(
            !slow.passed() && slow.table().contains("FAILED: p99 is 99 µs, above 90"),
            "{}",
            slow.table()
        );
        let mut wrong = report(None);
        wrong.measured.wrong = 1;
        assert!(wrong.json().starts_with(r#"{"passed":false,"#), "{}", wrong.json());
    }

    #[test]
    fn json_is_one_line() {
        let mut report = report(None);
        report.pushed = Some(Pushed::default());
        let text = report.json();
        assert!(text.ends_with(r#""slowest_push_ms":0.0}"#) && !text.contains('\n'), "{text}");
    }
}
