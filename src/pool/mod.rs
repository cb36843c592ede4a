//! Who gets which server connection.
