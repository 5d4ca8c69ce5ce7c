//! Floor 1: the wire.
