//! The configuration file: what the TOML says, what the program uses, and every problem between the two.
