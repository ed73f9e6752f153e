//! control: being built.
