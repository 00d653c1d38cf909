//! Waiting for a state, never for a time.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it. Far above what it takes on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(10);

/// Tries until it succeeds. Fails the test with the last reason if it never does.
pub async fn eventually<T, E: std::fmt::Display>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(reason) if Instant::now() > end => panic!("never: {what}; the last reason: {reason}"),
            Err(_) => tokio::time::sleep(STEP).await,
        }
    }
}

/// Fails the test if it takes for ever.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("never: {what}"),
    }
}
