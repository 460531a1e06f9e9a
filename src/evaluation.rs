//! What another policy would have brought, estimated from a log of decisions with their propensities.
