//! `usher stats`: shows what a running server decided, and with what outcomes, as tables.

use serde_json::Value;

use super::client::{ServerArgs, encoded};
use super::ending::{Ending, Failure, block_on};
use super::terminal::thousands;

/// Ask a running server how often offers were chosen, and with what outcomes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher stats
  usher stats --by offer,channel --placement home_banner
  usher stats --by day --offer gold_accumulation --from 2026-11-01

Decisions are counted since the process began; outcomes are all that were kept. Intervals are of 95 %. \
Exit code 1: the customers of an experiment are not split over its variants as they should be.")]
pub(super) struct Args {
    /// What to group rows by: offer, placement, channel, variant, day, separated by commas
    #[arg(long, value_name = "LIST", default_value = "offer")]
    by: String,
    /// Only rows of this offer
    #[arg(long, value_name = "NAME")]
    offer: Option<String>,
    /// Only rows of this placement
    #[arg(long, value_name = "NAME")]
    placement: Option<String>,
    /// Only rows of this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Only customers in this variant, written EXPERIMENT.VARIANT
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Only outcomes from this day on, such as 2026-11-01 (UTC)
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Only outcomes up to the end of this day
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Print the server's answer as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// A table with names on the left and numbers on the right.
struct Table {
    /// The number of columns with names; they are aligned to the left.
    names: usize,
    lines: Vec<Vec<String>>,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut client = args.server.client()?;
    let answer = block_on(client.get(&path(args)))?.success()?;
    if args.json {
        say!("{answer}");
    } else {
        say!("{}", text_of(&answer));
    }
    let is_wrong = list(&answer, "experiments").any(|experiment| experiment["mismatch"] == true);
    Ok(if is_wrong { Ending::FoundWrong } else { Ending::Done })
}

fn path(args: &Args) -> String {
    let mut path = format!("/v1/stats?by={}", encoded(&args.by));
    for (name, value) in [
        ("offer", &args.offer),
        ("placement", &args.placement),
        ("channel", &args.channel),
        ("variant", &args.variant),
        ("from", &args.from),
        ("to", &args.to),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}

fn text_of(answer: &Value) -> String {
    let mut text = rows(answer).to_string();
    match answer["omitted"].as_u64() {
        None | Some(0) => {}
        Some(omitted) => {
            text.push_str(&format!(
                "and {} more rows; narrow the question, for instance with --offer\n",
                thousands(omitted)
            ));
        }
    }
    let places = places(answer);
    if places.lines.len() > 1 {
        text.push_str(&format!("\n{places}"));
    }
    let experiments: String = list(answer, "experiments").map(experiment).collect();
    if !experiments.is_empty() {
        text.push_str(&format!("\n{experiments}"));
    }
    let learned = learned(answer);
    if learned.lines.len() > 1 {
        text.push_str(&format!("\n{learned}"));
    }
    if let Some(omitted) = answer["learned_omitted"].as_u64().filter(|omitted| *omitted > 0) {
        text.push_str(&format!("and {} more of what was learned\n", thousands(omitted)));
    }
    let since = answer["since"].as_str().unwrap_or_default();
    text.push_str(&format!("\ndecisions since {since}, outcomes up to record {}\n", answer["sequence"]));
    for (key, what) in [("combinations", "combinations of names"), ("outcomes", "outcomes")] {
        if let Some(count) = answer["uncounted"][key].as_u64().filter(|count| *count > 0) {
            text.push_str(&format!("not counted for lack of room: {} {what}\n", thousands(count)));
        }
    }
    text
}

fn rows(answer: &Value) -> Table {
    let by: Vec<&str> = list(answer, "by").filter_map(Value::as_str).collect();
    let head = [
        "decisions",
        "impressions",
        "clicks",
        "dismissals",
        "conversions",
        "value",
        "click-through",
        "conversion",
    ];
    let mut lines: Vec<Vec<String>> = vec![by.iter().copied().chain(head).map(str::to_owned).collect()];
    let names = by.len().max(1);
    for row in list(answer, "rows").filter(|_| !by.is_empty()) {
        let labels = by.iter().map(|name| row[*name].as_str().unwrap_or("?").to_owned());
        lines.push(labels.chain(figures(row)).collect());
    }
    let total = (0..names).map(|at| if at == 0 { "total".to_owned() } else { String::new() });
    if by.is_empty() {
        lines[0].insert(0, String::new());
    }
    lines.push(total.chain(figures(&answer["funnel"])).collect());
    Table { names, lines }
}

fn figures(of: &Value) -> impl Iterator<Item = String> {
    let count = |key: &str| of[key].as_u64().map_or_else(|| "-".into(), thousands);
    let rate = |key: &str| {
        let percent = |part: &str| of[key][part].as_f64().map(|share| 100.0 * share);
        match (percent("rate"), percent("low"), percent("high")) {
            (Some(rate), Some(low), Some(high)) => format!("{rate:.2} % ({low:.2} to {high:.2})"),
            _ => "-".into(),
        }
    };
    let value = of["value"].as_f64().unwrap_or_default();
    [
        count("decisions"),
        count("impressions"),
        count("clicks"),
        count("dismissals"),
        count("conversions"),
        format!("{value:.2}"),
        rate("click_through"),
        rate("conversion"),
    ]
    .into_iter()
}

fn places(answer: &Value) -> Table {
    let head = ["placement", "channel", "asked", "fallbacks", "empty", "degraded"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for place in list(answer, "places") {
        let cell = |(at, key): (usize, &&str)| match at {
            0 | 1 => place[*key].as_str().unwrap_or("?").to_owned(),
            _ => thousands(place[*key].as_u64().unwrap_or_default()),
        };
        lines.push(head.iter().enumerate().map(cell).collect());
    }
    Table { names: 2, lines }
}

fn learned(answer: &Value) -> Table {
    let head = ["learned", "placement", "segment", "yes", "no", "pending", "chance"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for row in list(answer, "learned") {
        let text = |key: &str| row[key].as_str().unwrap_or("?").to_owned();
        let number = |key: &str| format!("{:.1}", row[key].as_f64().unwrap_or_default());
        let segment: Vec<&str> = list(row, "segment").filter_map(Value::as_str).collect();
        let segment = if segment.is_empty() { "-".to_owned() } else { segment.join(" and ") };
        let chance = format!("{:.2} %", 100.0 * row["chance"].as_f64().unwrap_or_default());
        let pending = thousands(row["pending"].as_u64().unwrap_or_default());
        let (yes, no) = (number("yes"), number("no"));
        lines.push(vec![text("offer"), text("placement"), segment, yes, no, pending, chance]);
    }
    Table { names: 3, lines }
}

fn experiment(of: &Value) -> String {
    let variant = |variant: &Value| {
        let customers = thousands(variant["customers"].as_u64().unwrap_or_default());
        let share = 100.0 * variant["share"].as_f64().unwrap_or_default();
        let exposed = match (variant["exposed"].as_u64(), variant["customers"].as_u64()) {
            (None, _) | (Some(0), Some(0)) => String::new(),
            (Some(0), _) => " (NOBODY was shown it)".into(),
            (Some(exposed), _) => format!(" ({} were shown it)", thousands(exposed)),
        };
        format!(
            "{} {customers} customers of {share:.2} %{exposed}",
            variant["variant"].as_str().unwrap_or("?")
        )
    };
    let variants: Vec<String> = list(of, "variants").map(variant).collect();
    let stretches = match of["stretches"].as_u64() {
        None | Some(0 | 1) => String::new(),
        Some(stretches) => format!(", over {stretches} stretches of equal shares"),
    };
    let said = match (of["mismatch"].as_bool(), of["p_value"].as_f64()) {
        (Some(true), Some(p)) => {
            format!(
                "the split is WRONG (p = {p:.2e}{stretches}): do not trust any difference between variants"
            )
        }
        (_, Some(p)) => format!("the split is as it should be (p = {p:.3}{stretches})"),
        _ => "too few customers to check the split".into(),
    };
    format!("experiment {}: {}\n  {said}\n", of["name"].as_str().unwrap_or("?"), variants.join(", "))
}

fn list<'v>(of: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    of[key].as_array().into_iter().flatten()
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| self.lines.iter().filter_map(move |line: &Vec<String>| line.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| width(column).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        for line in &self.lines {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column < self.names { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Value {
        let rate = json!({"rate": 0.1, "low": 0.0552, "high": 0.1744});
        let total = json!({"decisions": 1200, "fallbacks": 7, "impressions": 100, "clicks": 10, "dismissals": 1,
            "conversions": 0, "value": 0.0, "click_through": rate});
        let mut row = total.clone();
        row["offer"] = "gold".into();
        json!({"since": "2026-11-01T06:00:00Z", "sequence": 9, "by": ["offer"], "rows": [row], "omitted": 0,
            "funnel": total, "places": [{"placement": "home", "channel": "app", "asked": 1200, "fallbacks": 7,
            "empty": 0, "degraded": 0}], "experiments": [], "uncounted": {"combinations": 0, "outcomes": 0}})
    }

    #[test]
    fn an_answer_is_told_in_tables() {
        let expected = "\
offer  decisions  impressions  clicks  dismissals  conversions  value            click-through  conversion
gold       1,200          100      10           1            0   0.00  10.00 % (5.52 to 17.44)           -
total      1,200          100      10           1            0   0.00  10.00 % (5.52 to 17.44)           -

placement  channel  asked  fallbacks  empty  degraded
home       app      1,200          7      0         0

decisions since 2026-11-01T06:00:00Z, outcomes up to record 9
";
        assert_eq!(text_of(&answer()), expected);
    }

    #[test]
    fn what_is_left_out_and_what_is_wrong_is_said() {
        let mut answer = answer();
        answer["omitted"] = 1234.into();
        answer["by"] = json!([]);
        answer["rows"] = json!([answer["funnel"]]);
        answer["uncounted"]["outcomes"] = 5.into();
        let variants = json!([{"variant": "a", "share": 0.5, "customers": 9000, "exposed": 4000},
            {"variant": "b", "share": 0.5, "customers": 7000, "exposed": 0}]);
        answer["experiments"] = json!([
            {"name": "hero", "variants": variants, "stretches": 1, "p_value": 1e-9, "mismatch": true},
            {"name": "page", "variants": variants, "stretches": 3, "p_value": 0.5, "mismatch": false},
            {"name": "new", "variants": [], "p_value": null, "mismatch": false}]);
        answer["learned"] = json!([{"offer": "fund", "placement": "home", "segment": ["age > 60", "vip"], "yes": 3.0,
            "no": 41.25, "pending": 1200, "chance": 0.0625}]);
        let text = text_of(&answer);
        for part in [
            "\ntotal ",
            "and 1,234 more rows",
            "experiment hero: a 9,000 customers of 50.00 % (4,000 were shown it), b 7,000 customers of 50.00 % (NOBODY was \
             shown it)\n  the split is WRONG (p = 1.00e-9)",
            "as it should be (p = 0.500, over 3 stretches of equal shares)",
            "too few customers",
            "not counted for lack of room: 5 outcomes",
            "learned  placement  segment           yes    no  pending  chance\n\
             fund     home       age > 60 and vip  3.0  41.2    1,200  6.25 %\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert_eq!(text.matches("total").count(), 1, "{text}");
    }
}
