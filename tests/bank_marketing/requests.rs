//! What is asked for all customers: every placement and channel, with and without counts, locales and
//! context.

use super::naive::Asked;

const fn asked<'t>(channel: &'t str, placements: &'t [(&'t str, Option<usize>)]) -> Asked<'t> {
    Asked { channel, placements, locale: None, context: &[] }
}

/// Context at both sides of each bound: 20 in the queue, 25,000 euros, a market rate of 3.1 %.
pub(crate) static REQUESTS: [Asked<'static>; 14] = [
    asked("phone", &[("call_script", None)]),
    Asked {
        locale: Some("pt"),
        context: &[("amount", "40000"), ("waiting", "19")],
        ..asked("phone", &[("call_script", Some(5))])
    },
    Asked {
        locale: Some("pt-BR"),
        context: &[("waiting", "20"), ("market_rate", "3.1")],
        ..asked("phone", &[("call_script", Some(3))])
    },
    Asked {
        locale: Some("en"),
        context: &[("topic", "house")],
        ..asked("phone", &[("call_script", Some(1))])
    },
    Asked { locale: Some("pt-BR"), ..asked("app", &[("web_banner", None)]) },
    Asked { context: &[("topic", "budget")], ..asked("web", &[("web_list", None)]) },
    Asked {
        locale: Some("pt"),
        context: &[("market_rate", "3.5"), ("page", "home"), ("signed_in", "true")],
        ..asked("web", &[("web_banner", None), ("web_list", None)])
    },
    // The numbers of a context are not rounded to single precision: this rate is above 3.1.
    Asked {
        locale: Some("en"),
        context: &[("topic", "house"), ("market_rate", "3.10000000001")],
        ..asked("app", &[("web_list", Some(5)), ("web_banner", Some(2))])
    },
    Asked { context: &[("waiting", "25")], ..asked("app", &[("web_banner", Some(5))]) },
    Asked { locale: Some("pt"), ..asked("web", &[("web_list", Some(2)), ("web_banner", Some(3))]) },
    Asked { locale: Some("pt"), ..asked("branch", &[("counter", None)]) },
    Asked {
        locale: Some("en"),
        context: &[("amount", "25000"), ("topic", "budget")],
        ..asked("branch", &[("counter", Some(5))])
    },
    Asked {
        locale: Some("pt-BR"),
        context: &[("amount", "24999.99"), ("market_rate", "3.11")],
        ..asked("branch", &[("counter", Some(4))])
    },
    Asked {
        context: &[("market_rate", "-0.5"), ("waiting", "0")],
        ..asked("app", &[("web_banner", Some(1)), ("web_list", Some(4))])
    },
];

/// Times of the decisions, in turn. The bundle has no schedules, so the times must not matter.
pub(crate) const TIMES: [&str; 3] = ["2026-11-23T10:00:00Z", "2024-02-29T23:59:59+14:00", "2031-06-01"];
