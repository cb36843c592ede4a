//! The metrics that Prometheus scrapes.
//!
//! Nothing is counted here: workers count in their own plain counters, and a scrape folds what they have counted
//! into handles of the `metrics` crate that were registered when the series first appeared. Histograms cannot go that
//! way (a handle takes single observations, not buckets that are filled already), so their text is written beside.

mod histogram;
mod readings;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder as _, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use self::readings::{Reading, Value};
use super::overview::Overview;

/// What the recorder is told of where metrics come from; the Prometheus recorder does not use it.
const METADATA: Metadata<'static> = Metadata::new("pglagoon", Level::INFO, None);

/// Writes what Prometheus scrapes. One for the process, so that its handles live as long as the series.
pub struct Exporter {
    recorder: PrometheusRecorder,
    handles: Vec<(Key, Handle)>,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("series", &self.handles.len()).finish_non_exhaustive()
    }
}

enum Handle {
    Counter(Counter),
    Gauge(Gauge),
}

impl Default for Exporter {
    fn default() -> Self {
        Self { recorder: PrometheusBuilder::new().build_recorder(), handles: Vec::new() }
    }
}

impl Exporter {
    /// All metrics in Prometheus's text format.
    pub fn render(&mut self, overview: &Overview) -> String {
        let readings = readings::readings(overview);
        let keys: Vec<Key> = readings.iter().map(key).collect();
        if !self.handles.iter().map(|(key, _)| key).eq(&keys) {
            // Databases, users or nodes came or went: a fresh recorder, so that none of the gone ones lingers.
            *self = Self::registered(&readings, keys);
        }
        for ((_, handle), reading) in self.handles.iter().zip(&readings) {
            match (handle, reading.value) {
                (Handle::Counter(counter), Value::Count(count)) => counter.absolute(count),
                (Handle::Gauge(gauge), Value::Level(level)) => gauge.set(level),
                (Handle::Counter(_), Value::Level(_)) | (Handle::Gauge(_), Value::Count(_)) => {}
            }
        }
        let mut text = self.recorder.handle().render();
        histogram::write(overview, &mut text);
        text
    }

    fn registered(readings: &[Reading<'_>], keys: Vec<Key>) -> Self {
        let mut exporter = Self::default();
        let recorder = &exporter.recorder;
        for (reading, key) in readings.iter().zip(keys) {
            let help = SharedString::const_str(reading.help);
            let handle = match reading.value {
                Value::Count(_) => {
                    recorder.describe_counter(reading.name.into(), None, help);
                    Handle::Counter(recorder.register_counter(&key, &METADATA))
                }
                Value::Level(_) => {
                    recorder.describe_gauge(reading.name.into(), None, help);
                    Handle::Gauge(recorder.register_gauge(&key, &METADATA))
                }
            };
            exporter.handles.push((key, handle));
        }
        exporter
    }
}

fn key(reading: &Reading<'_>) -> Key {
    let labels: Vec<Label> =
        reading.labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(reading.name, labels)
}

#[cfg(test)]
mod tests;
