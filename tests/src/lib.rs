//! turnline-tests
