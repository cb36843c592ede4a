//! Who are you: password methods as step functions, no sockets.
