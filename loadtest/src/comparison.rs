//! The same load without pushes and with them, in turn.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::load::Measured;
use crate::report::Report;

/// The results without pushes and with them, round by round.
pub(crate) struct Comparison {
    pub(crate) without: Report,
    pub(crate) with: Report,
    pub(crate) ratios: Ratios,
}

/// Latency with pushes divided by latency without: for each pair of neighbouring rounds, then the median.
/// Both rounds of a pair share whatever else the machine does.
pub(crate) struct Ratios {
    /// Counted from the intended start: what a customer feels.
    latency: [f64; QUANTILES.len()],
    /// Counted from sending. The generator's own lateness is left out, because its pushes also take time from
    /// its core.
    service: [f64; QUANTILES.len()],
}

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

impl Ratios {
    pub(crate) fn of(without: &[Measured], with: &[Measured]) -> Ratios {
        let medians = |histogram: fn(&Measured) -> &Histogram<u64>| {
            QUANTILES.map(|(_, quantile)| {
                let at = |round: &Measured| histogram(round).value_at_quantile(quantile).max(1) as f64;
                let mut all: Vec<f64> =
                    without.iter().zip(with).map(|(one, other)| at(other) / at(one)).collect();
                all.sort_by(f64::total_cmp);
                all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
            })
        };
        Ratios { latency: medians(|round| &round.latency), service: medians(|round| &round.service) }
    }
}

impl Comparison {
    pub(crate) fn passed(&self) -> bool {
        self.without.passed() && self.with.passed()
    }

    /// The report: tables, or one line of JSON.
    pub(crate) fn text(&self, json: bool) -> String {
        let Ratios { latency, service } = &self.ratios;
        if json {
            let object = |ratios: &[f64]| {
                let named = QUANTILES.iter().zip(ratios).map(|((name, _), x)| format!(r#""{name}":{x:.3}"#));
                format!("{{{}}}", named.collect::<Vec<_>>().join(","))
            };
            return format!(
                r#"{{"without":{},"with":{},"latency_ratio":{},"service_ratio":{}}}"#,
                self.without.json(),
                self.with.json(),
                object(latency),
                object(service)
            ) + "\n";
        }
        let (without, with) = (self.without.table(), self.with.table());
        let mut text = format!(
            "Without pushes\n{without}\nWith pushes\n{with}\nWith by without, median of the rounds\n"
        );
        for (name, ratios) in [("from intended start", latency), ("from sending", service)] {
            let _ = write!(text, "{name:<22}"); // writing to a String cannot fail, here and below
            for ((name, _), ratio) in QUANTILES.iter().zip(ratios) {
                let _ = write!(text, "  {name} {ratio:.2}");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(latency: u64) -> Measured {
        let mut measured = Measured::new().unwrap();
        measured.latency.record(latency).unwrap();
        measured.service.record(latency / 2).unwrap();
        measured
    }

    #[test]
    fn the_median_pair_counts() {
        let (without, with) = ([100, 100, 200].map(round), [150, 900, 220].map(round));
        let ratios = Ratios::of(&without, &with);
        for ratio in [ratios.latency, ratios.service].concat() {
            assert!((ratio - 1.5).abs() < 0.01, "{ratio}");
        }
    }

    #[test]
    fn both_must_be_right() {
        let report = |wrong| {
            let measured = Measured { wrong, ..Measured::new().unwrap() };
            Report { rate: 1, seconds: 1, p99_limit: None, measured, pushed: None }
        };
        let ratios = || Ratios { latency: [1.5; 3], service: [1.0; 3] };
        let comparison =
            |without, with| Comparison { without: report(without), with: report(with), ratios: ratios() };
        assert!(comparison(0, 0).passed() && !comparison(1, 0).passed() && !comparison(0, 1).passed());
        let text = comparison(0, 0).text(true);
        assert!(
            text.ends_with("\"service_ratio\":{\"p50\":1.000,\"p99\":1.000,\"p99.9\":1.000}}\n"),
            "{text}"
        );
    }
}
