//! wiring-tests
