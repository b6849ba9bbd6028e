//! Logs: how they look and which are written.
//!
//! Owns the subscriber of the process. Logs go to standard error, for standard output belongs to what a command
//! prints. It must not be set up by libraries, only by binaries and tests.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogArgs, LogFormat};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter {filter:?} is not valid: {source}")]
    Filter {
        /// What was given.
        filter: String,
        /// Why it cannot be read.
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Sets up logging. Later calls in the same process change nothing, so tests may all call it.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(args: &LogArgs) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(&args.log).map_err(|source| TelemetryError::Filter { filter: args.log.clone(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    // An error means that a subscriber is there already: the first one stays.
    let _already_there = match args.log_format {
        LogFormat::Json => {
            registry.with(layer.json().flatten_event(true).with_current_span(false).with_span_list(true)).try_init()
        }
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_up_twice_is_fine() {
        let args = LogArgs { log: "warn".to_owned(), log_format: LogFormat::Text };
        init(&args).expect("first");
        init(&args).expect("second");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let args = LogArgs { log: "docket=loudly".to_owned(), log_format: LogFormat::Json };
        assert!(init(&args).expect_err("refused").to_string().contains("docket=loudly"));
    }
}
