//! `fnua` as a person uses it.
