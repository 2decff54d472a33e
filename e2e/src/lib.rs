//! Harness shared by the end-to-end scenarios.
