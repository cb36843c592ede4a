//! The virtual admin database.
