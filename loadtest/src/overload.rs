//! What becomes of the answers when more is asked than the server can do. Three runs, one after the other:
//! as much as the server answers, 70 % of that, and four times as much. A request that finds no idle
//! connection is dropped, so every run keeps to its schedule.

use hdrhistogram::Histogram;

use crate::load;
use crate::load::{Measured, Plan};
use crate::scenario::Scenario;
use crate::target::Target;

/// Connections that keep the server just busy.
const PEAK_CONNECTIONS: usize = 64;
/// More requests a second than any server answers.
const PEAK_RATE: u64 = 1_000_000;

/// The three runs.
pub(crate) struct Overload {
    runs: [Run; 3],
}

struct Run {
    name: &'static str,
    measured: Measured,
}

impl Run {
    /// Decisions a second.
    fn goodput(&self) -> f64 {
        self.measured.service.len() as f64 / self.measured.took.as_secs_f64()
    }

    fn refused(&self) -> f64 {
        self.measured.refused as f64 / self.measured.took.as_secs_f64()
    }

    fn line(&self) -> String {
        let us = |quantile| microseconds(&self.measured.service, quantile);
        let Run { name, measured, .. } = self;
        let (goodput, refused) = (self.goodput(), self.refused());
        format!(
            "{name:<16}{goodput:>14.0}{refused:>12.0}{:>12.0}{:>12.0}{:>12.0}{:>12}\n",
            us(0.5),
            us(0.99),
            us(0.999),
            measured.dropped
        )
    }

    fn json(&self) -> String {
        let us = |quantile| microseconds(&self.measured.service, quantile);
        format!(
            r#"{{"answered_per_second":{:.0},"refused_per_second":{:.0},"p50_us":{:.0},"p99_us":{:.0}}}"#,
            self.goodput(),
            self.refused(),
            us(0.5),
            us(0.99)
        )
    }
}

fn microseconds(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

impl Overload {
    pub(crate) fn run(
        target: &Target,
        scenario: &mut Scenario,
        connections: usize,
        seconds: u64,
    ) -> Result<Overload, String> {
        let mut run = |name, rate: f64, connections| {
            let rate = (rate as u64).max(1);
            // The first second is not measured.
            let plan = Plan { rate, warm_up: rate, requests: rate * (seconds + 1), connections, drops: true };
            load::run(target, &plan, scenario).map(|measured| Run { name, measured })
        };
        let peak = run("peak", PEAK_RATE as f64, PEAK_CONNECTIONS)?;
        let most = peak.goodput();
        let usual = run("70 % of it", 0.7 * most, connections)?;
        let over = run("400 % of it", 4.0 * most, connections)?;
        Ok(Overload { runs: [peak, usual, over] })
    }

    /// Whether every answer was right or a refusal.
    pub(crate) fn passed(&self) -> bool {
        let wrong = |run: &Run| run.measured.wrong + run.measured.broken + run.measured.unanswered;
        self.runs.iter().all(|run| wrong(run) == 0)
    }

    /// The report: a table, or one line of JSON.
    pub(crate) fn text(&self, json: bool) -> String {
        let [peak, usual, over] = &self.runs;
        let goodput = over.goodput() / peak.goodput();
        let p99 = |run: &Run| microseconds(&run.measured.service, 0.99);
        let slower = p99(over) / p99(usual);
        if json {
            let [peak, usual, over] = [peak, usual, over].map(Run::json);
            return format!(
                r#"{{"peak":{peak},"usual":{usual},"over":{over},"goodput_ratio":{goodput:.3},"p99_ratio":{slower:.3}}}"#
            ) + "\n";
        }
        let mut text = format!(
            "{:<16}{:>14}{:>12}{:>12}{:>12}{:>12}{:>12}\n",
            "", "answered/s", "refused/s", "p50 us", "p99 us", "p99.9 us", "not sent"
        );
        self.runs.iter().for_each(|run| text.push_str(&run.line()));
        text.push_str(&format!(
            "of the peak {goodput:.2}, p99 of the answered {slower:.1} times that at 70 %\n"
        ));
        for run in &self.runs {
            let Measured { wrong, broken, unanswered, examples, .. } = &run.measured;
            if wrong + broken + unanswered > 0 {
                text.push_str(&format!(
                    "{}: {wrong} wrong, {broken} broken, {unanswered} unanswered: {}\n",
                    run.name,
                    examples.join("; ")
                ));
            }
        }
        text
    }
}
