//! One place per key: its name, type, default, documentation, and whether a reload applies it.
//!
//! `section!` turns a list of keys into the struct that the program uses, with code that reads it and code that
//! shows it, so that neither can forget a key. `keywords!` does the same for a key whose value is one word out of
//! a list.

use super::keys::Keys;
use super::value::Value;

/// A table of the file.
pub(super) trait Section: Sized {
    /// Takes this table's keys out of `keys`; those that are missing or wrong are as in `base`.
    fn read(keys: &mut Keys<'_>, base: &Self) -> Self;

    /// Every key with its value, in the order of the documentation.
    fn fields(&self) -> Vec<Field>;

    /// What the table is about, for `config/reference.toml`.
    #[cfg(test)]
    const ABOUT: &'static [&'static str];
}

/// One key of a table.
pub(super) struct Field {
    pub(super) name: &'static str,
    /// For `config/reference.toml`.
    #[cfg(test)]
    pub(super) documentation: &'static [&'static str],
    pub(super) value: Value,
    pub(super) changes: Changes,
}

keywords! {
    /// When a changed value takes effect.
    Changes {
        /// When the file is loaded again.
        Reload = "reload",
        /// When the process is started again.
        Restart = "restart",
    }
}

/// A value that is one word out of a list.
pub(super) trait Word: Copy + 'static {
    /// Every value.
    const WORDS: &'static [Self];
    /// The word.
    fn as_str(self) -> &'static str;
}

/// Declares one table of the file as a struct. A key is its documentation, then
/// `name: type, codec, default, Reload or Restart;`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty, $codec:ty, $default:expr, $changes:ident; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::section::Section for $name {
            #[cfg(test)]
            const ABOUT: &'static [&'static str] = &[$($about),+];

            fn read(keys: &mut $crate::config::keys::Keys<'_>, base: &Self) -> Self {
                Self { $( $field: keys.read::<$type, $codec>(stringify!($field), &base.$field), )+ }
            }

            fn fields(&self) -> Vec<$crate::config::section::Field> {
                vec![$( $crate::config::section::Field {
                    name: stringify!($field),
                    #[cfg(test)]
                    documentation: &[$($doc),+],
                    value: <$codec as $crate::config::codec::Codec<$type>>::show(&self.$field),
                    changes: $crate::config::section::Changes::$changes,
                }, )+]
            }
        }
    };
}

/// Declares an enum whose variants are the words that its key accepts.
macro_rules! keywords {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The word that stands for this value in the file.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl $crate::config::section::Word for $name {
            const WORDS: &'static [Self] = Self::ALL;

            fn as_str(self) -> &'static str {
                Self::as_str(self)
            }
        }
    };
}

pub(super) use keywords;
pub(super) use section;
