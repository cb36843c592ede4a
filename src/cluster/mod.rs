//! Which nodes a database has, what role each plays and how fresh it is.
