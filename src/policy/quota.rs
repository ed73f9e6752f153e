//! quota: being built.
