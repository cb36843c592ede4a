//! What a statement is: which server may run it, and what it does to the session.
