//! Where log messages go, and in which form. Installed once, by `main`.

use std::io::{IsTerminal as _, stderr};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::fmt::MakeWriter;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people; in colour on a terminal.
    Text,
    /// One JSON object per line: `timestamp`, `level`, `target`, `message` and the message's own fields.
    Json,
}

/// Sends messages of at least `level` to standard error, for the rest of the process.
///
/// # Errors
///
/// If somebody has done so before.
pub fn install(level: LevelFilter, format: Format) -> Result<(), SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(level, format, stderr))
}

fn subscriber<W>(
    level: LevelFilter,
    format: Format,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync + 'static>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(format == Format::Text && stderr().is_terminal())
        .with_writer(writer);
    match format {
        Format::Text => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of a message at `info` and one at `debug`.
    fn logged(level: LevelFilter, format: Format) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(level, format, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(clients = 3, "listening");
            tracing::debug!("details");
        });
        String::from_utf8(sink.0.lock().clone()).unwrap()
    }

    #[test]
    fn text_is_one_line_without_colours_in_a_file() {
        let text = logged(LevelFilter::INFO, Format::Text);
        assert!(text.ends_with("listening clients=3\n"), "{text}");
        assert!(!text.contains('\x1b') && !text.contains("details"), "{text}");
        assert!(logged(LevelFilter::DEBUG, Format::Text).contains("details"));
    }

    #[test]
    fn json_is_one_object_per_line() {
        let text = logged(LevelFilter::DEBUG, Format::Json);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((&line["message"], &line["clients"]), (&"listening".into(), &3.into()));
        assert_eq!(text.lines().count(), 2);
    }
}
