//! web: being built.
