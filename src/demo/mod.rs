//! Throwaway PostgreSQL clusters: for the demo and for the tests.
