//! The small bundle that is written when there is no file to begin from.

/// Its files: path and text.
pub(super) const FILES: [(&str, &str); 4] = [
    ("schema.yaml", include_str!("start/schema.yaml")),
    ("rule-sets/offers.yaml", include_str!("start/offers.yaml")),
    ("golden.yaml", include_str!("start/golden.yaml")),
    ("population.yaml", include_str!("start/population.yaml")),
];
