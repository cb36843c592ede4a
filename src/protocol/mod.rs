//! The wire protocol, pure: bytes in, bytes out. No sockets, no runtime.
