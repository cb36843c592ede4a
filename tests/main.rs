//! Tests that need no PostgreSQL.
