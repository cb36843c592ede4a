//! One place per key: its name, type, default, documentation, and whether a reload applies it.
//!
//! `section!` turns a list of keys into the struct that the program uses. `keywords!` does the same for a key
//! whose value is one word out of a list.

/// Declares one table of the file as a struct; see the module's documentation.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty, $codec:ty, $default:expr, $changes:ident; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
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
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    };
}

pub(super) use keywords;
pub(super) use section;
