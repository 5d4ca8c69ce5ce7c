//! Floor 0: domain-free building blocks, no I/O.
