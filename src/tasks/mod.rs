//! tasks: being built.
