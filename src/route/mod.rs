//! Facts in, target out: the routing decision, pure and total.
