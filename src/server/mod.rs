//! One authenticated connection to a PostgreSQL server.
