//! Sockets and buffers; knows nothing of PostgreSQL.
