//! How the value of a key is read and shown: one codec per kind of value.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::model::{ListenAddress, Workers};
use super::section::Word;
use super::units::{parse_duration, parse_size, show_duration, show_size};
use super::value::Value;

/// Reads and shows values of type `T`. What `show` returns, `read` accepts.
pub(super) trait Codec<T> {
    /// The value, or what is wrong with it in words.
    fn read(value: &Value) -> Result<T, String>;
    /// The value as the file would say it.
    fn show(value: &T) -> Value;
}

/// A number of things, 0 included.
pub(super) struct Count;
/// A number of things, at least one.
pub(super) struct CountAboveZero;
/// From 1 to 100.
pub(super) struct Percent;
/// A number of things, 0 for no limit.
pub(super) struct CountOrUnlimited;
/// A size in bytes, at least one.
pub(super) struct Size;
/// A duration, 0 included.
pub(super) struct Time;
/// A duration of more than 0.
pub(super) struct TimeAboveZero;
/// A duration, 0 for none.
pub(super) struct TimeOrOff;
/// One word out of a list.
pub(super) struct Keyword;
/// `true` or `false`.
pub(super) struct Switch;
/// A list of names.
pub(super) struct Names;
/// A text.
pub(super) struct Text;
/// A file's path, "" for none.
pub(super) struct File;
/// "auto" or a number.
pub(super) struct WorkerCount;
/// Addresses to listen at.
pub(super) struct Addresses;
/// An IP address with a port, "" for none.
pub(super) struct AddressOrOff;
/// Whatever `C` reads; shows nothing when it is not set.
pub(super) struct Inherited<C>(std::marker::PhantomData<C>);

impl Codec<usize> for Count {
    fn read(value: &Value) -> Result<usize, String> {
        let number = value.as_integer().ok_or_else(|| mismatch("a whole number", value))?;
        usize::try_from(number).map_err(|_| "must not be negative".to_owned())
    }

    fn show(value: &usize) -> Value {
        Value::count(*value)
    }
}

impl Codec<usize> for CountAboveZero {
    fn read(value: &Value) -> Result<usize, String> {
        match Count::read(value)? {
            0 => Err("must be at least 1".to_owned()),
            count => Ok(count),
        }
    }

    fn show(value: &usize) -> Value {
        Count::show(value)
    }
}

impl Codec<usize> for Percent {
    fn read(value: &Value) -> Result<usize, String> {
        let percent = Count::read(value)?;
        (1..=100)
            .contains(&percent)
            .then_some(percent)
            .ok_or_else(|| "must be from 1 to 100".to_owned())
    }

    fn show(value: &usize) -> Value {
        Count::show(value)
    }
}

impl Codec<Option<usize>> for CountOrUnlimited {
    fn read(value: &Value) -> Result<Option<usize>, String> {
        Ok(Some(Count::read(value)?).filter(|count| *count > 0))
    }

    fn show(value: &Option<usize>) -> Value {
        Value::count(value.unwrap_or(0))
    }
}

impl Codec<usize> for Size {
    fn read(value: &Value) -> Result<usize, String> {
        let text = value.as_text().ok_or_else(|| mismatch("a size such as \"64KiB\"", value))?;
        match parse_size(text).map_err(|error| error.to_string())? {
            0 => Err("must be more than 0".to_owned()),
            size => Ok(size),
        }
    }

    fn show(value: &usize) -> Value {
        Value::Text(show_size(*value))
    }
}

impl Codec<Duration> for Time {
    fn read(value: &Value) -> Result<Duration, String> {
        match (value, value.as_text()) {
            (Value::Integer(0), _) => Ok(Duration::ZERO),
            (_, Some(text)) => parse_duration(text).map_err(|error| error.to_string()),
            (_, None) => Err(mismatch("a duration such as \"5s\"", value)),
        }
    }

    fn show(value: &Duration) -> Value {
        match *value {
            Duration::ZERO => Value::Integer(0),
            duration => Value::Text(show_duration(duration)),
        }
    }
}

impl Codec<Duration> for TimeAboveZero {
    fn read(value: &Value) -> Result<Duration, String> {
        match Time::read(value)? {
            Duration::ZERO => Err("must be more than 0".to_owned()),
            duration => Ok(duration),
        }
    }

    fn show(value: &Duration) -> Value {
        Time::show(value)
    }
}

impl Codec<Option<Duration>> for TimeOrOff {
    fn read(value: &Value) -> Result<Option<Duration>, String> {
        Ok(Some(Time::read(value)?).filter(|duration| !duration.is_zero()))
    }

    fn show(value: &Option<Duration>) -> Value {
        Time::show(&value.unwrap_or_default())
    }
}

impl<W: Word> Codec<W> for Keyword {
    fn read(value: &Value) -> Result<W, String> {
        let text = value.as_text().ok_or_else(|| mismatch("a string", value))?;
        W::WORDS.iter().find(|word| word.as_str() == text).copied().ok_or_else(|| {
            let valid: Vec<_> =
                W::WORDS.iter().map(|word| format!("{:?}", word.as_str())).collect();
            let verb = if valid.len() == 1 { "the valid value is" } else { "valid values are" };
            format!("unknown value {text:?}; {verb} {}", valid.join(", "))
        })
    }

    fn show(value: &W) -> Value {
        Value::Text(value.as_str().to_owned())
    }
}

impl<W: Word> Codec<W> for Switch {
    fn read(value: &Value) -> Result<W, String> {
        let switch = <Self as Codec<bool>>::read(value)?;
        Keyword::read(&Value::Text(switch.to_string()))
    }

    fn show(value: &W) -> Value {
        Value::Bool(value.as_str() == "true")
    }
}

impl Codec<bool> for Switch {
    fn read(value: &Value) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| mismatch("true or false", value))
    }

    fn show(value: &bool) -> Value {
        Value::Bool(*value)
    }
}

impl Codec<Vec<String>> for Names {
    fn read(value: &Value) -> Result<Vec<String>, String> {
        let texts = value.as_texts().ok_or_else(|| mismatch("a list of strings", value))?;
        Ok(texts.into_iter().map(str::to_owned).collect())
    }

    fn show(value: &Vec<String>) -> Value {
        Value::texts(value.iter().cloned())
    }
}

impl Codec<String> for Text {
    fn read(value: &Value) -> Result<String, String> {
        value.as_text().map(str::to_owned).ok_or_else(|| mismatch("a string", value))
    }

    fn show(value: &String) -> Value {
        Value::Text(value.clone())
    }
}

impl Codec<Option<PathBuf>> for File {
    fn read(value: &Value) -> Result<Option<PathBuf>, String> {
        let text = value.as_text().ok_or_else(|| mismatch("a file's path", value))?;
        Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
    }

    fn show(value: &Option<PathBuf>) -> Value {
        let path = value.as_ref().map(|path| path.display().to_string());
        Value::Text(path.unwrap_or_default())
    }
}

impl Codec<Workers> for WorkerCount {
    fn read(value: &Value) -> Result<Workers, String> {
        if value.as_text() == Some("auto") {
            return Ok(Workers::Auto);
        }
        let count = value.as_integer().and_then(|number| usize::try_from(number).ok());
        let count = count.filter(|count| *count <= MAX_WORKERS).and_then(NonZeroUsize::new);
        count
            .map(Workers::Count)
            .ok_or_else(|| format!("expected \"auto\" or a number from 1 to {MAX_WORKERS}"))
    }

    fn show(value: &Workers) -> Value {
        match value {
            Workers::Auto => Value::Text("auto".to_owned()),
            Workers::Count(count) => Value::count(count.get()),
        }
    }
}

impl Codec<Vec<ListenAddress>> for Addresses {
    fn read(value: &Value) -> Result<Vec<ListenAddress>, String> {
        let texts =
            value.as_texts().ok_or_else(|| mismatch("an address or a list of them", value))?;
        if texts.is_empty() {
            return Err("at least one address is needed".to_owned());
        }
        texts.into_iter().map(listen_address).collect()
    }

    fn show(value: &Vec<ListenAddress>) -> Value {
        match value.as_slice() {
            [one] => Value::Text(one.to_string()),
            more => Value::texts(more.iter().map(ToString::to_string)),
        }
    }
}

impl Codec<Option<SocketAddr>> for AddressOrOff {
    fn read(value: &Value) -> Result<Option<SocketAddr>, String> {
        match value.as_text().ok_or_else(|| mismatch("a string", value))? {
            "" => Ok(None),
            text => socket_address(text).map(Some),
        }
    }

    fn show(value: &Option<SocketAddr>) -> Value {
        Value::Text(value.map(|address| address.to_string()).unwrap_or_default())
    }
}

impl<T, C: Codec<T>> Codec<Option<T>> for Inherited<C> {
    fn read(value: &Value) -> Result<Option<T>, String> {
        C::read(value).map(Some)
    }

    fn show(value: &Option<T>) -> Value {
        value.as_ref().map_or(Value::Unset, C::show)
    }
}

fn listen_address(text: &str) -> Result<ListenAddress, String> {
    if !text.starts_with('/') {
        return socket_address(text).map(ListenAddress::Tcp);
    }
    let (directory, port) = match text.rsplit_once(':') {
        Some((directory, port)) => match port.parse() {
            Ok(port) => (directory, port),
            Err(_) => return Err(format!("{text:?} has no port from 0 to 65535 after the colon")),
        },
        None => (text, DEFAULT_PORT),
    };
    Ok(ListenAddress::Unix { directory: PathBuf::from(directory), port })
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    address.parse().map_err(|_| {
        format!(
            "{text:?} is not an IP address with a port, such as \"127.0.0.1:{DEFAULT_PORT}\" or \
             \"[::1]:{DEFAULT_PORT}\""
        )
    })
}

/// The fault of a value of the wrong type. It does not repeat the value, which may be a secret.
pub(super) fn mismatch(wanted: &str, found: &Value) -> String {
    match found {
        Value::Untyped(_) => format!("expected {wanted}"),
        _ => format!("expected {wanted}, found {}", found.kind()),
    }
}

const DEFAULT_PORT: u16 = 6432;
const MAX_WORKERS: usize = 1024;
