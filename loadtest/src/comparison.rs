//! The same load without and with pushes, in turn.

use std::fmt::Write as _;

use crate::load::Measured;
use crate::report::Report;

/// The result of both.
pub(crate) struct Comparison {
    pub(crate) without: Report,
    pub(crate) with: Report,
    pub(crate) ratios: [f64; RATIOS.len()],
}

const RATIOS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Latency with by latency without pushes: of each pair of neighbouring rounds, then the median. A pair shares what else
/// the machine does.
pub(crate) fn ratios(without: &[Measured], with: &[Measured]) -> [f64; RATIOS.len()] {
    RATIOS.map(|(_, quantile)| {
        let at = |measured: &Measured| measured.latency.value_at_quantile(quantile).max(1) as f64;
        let mut all: Vec<f64> =
            without.iter().zip(with).map(|(without, with)| at(with) / at(without)).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    })
}

impl Comparison {
    pub(crate) fn passed(&self) -> bool {
        self.without.passed() && self.with.passed()
    }

    /// Tables or a line of JSON.
    pub(crate) fn text(&self, json: bool) -> String {
        let ratios = RATIOS.iter().zip(self.ratios);
        if json {
            let ratios: Vec<String> =
                ratios.map(|((name, _), ratio)| format!(r#""{name}":{ratio:.3}"#)).collect();
            let (without, with) = (self.without.json(), self.with.json());
            return format!(r#"{{"without":{without},"with":{with},"ratio":{{{}}}}}"#, ratios.join(","))
                + "\n";
        }
        let (without, with) = (self.without.table(), self.with.table());
        let mut text =
            format!("Without pushes\n{without}\nWith pushes\n{with}\nWith by without, median of the rounds:");
        for ((name, _), ratio) in ratios {
            let _ = write!(text, " {name} {ratio:.2}"); // writing to a String cannot fail
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(latency: u64) -> Measured {
        let mut measured = Measured::new().unwrap();
        measured.latency.record(latency).unwrap();
        measured
    }

    #[test]
    fn the_median_pair_counts() {
        let (without, with) = ([100, 100, 200].map(round), [150, 900, 220].map(round));
        for ratio in ratios(&without, &with) {
            assert!((ratio - 1.5).abs() < 0.01, "{ratio}");
        }
    }

    #[test]
    fn both_must_be_right() {
        let report = |wrong| {
            let measured = Measured { wrong, ..Measured::new().unwrap() };
            Report { rate: 1, seconds: 1, p99_limit: None, measured, pushed: None }
        };
        let comparison =
            |without, with| Comparison { without: report(without), with: report(with), ratios: [1.0; 3] };
        assert!(comparison(0, 0).passed() && !comparison(1, 0).passed() && !comparison(0, 1).passed());
        let text = comparison(0, 0).text(true);
        assert!(text.ends_with("\"ratio\":{\"p50\":1.000,\"p99\":1.000,\"p99.9\":1.000}}\n"), "{text}");
    }
}
