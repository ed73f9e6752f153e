//! signature: being built.
