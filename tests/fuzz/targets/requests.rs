//! Requests at the operator's door: see `requests` in requests.rs.
//!
//! They are read by one pure file of a floor that needs the runtime, so it is taken alone.
#![no_main]

#[path = "../../../src/ops/request.rs"]
#[allow(dead_code, reason = "the door has the rest of its uses")]
mod request;
#[path = "../requests.rs"]
mod requests;

/// What the file takes from its neighbour.
mod exposition {
    /// The two forms of metrics.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Form {
        /// That of Prometheus.
        Prometheus,
        /// That of OpenMetrics.
        OpenMetrics,
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| requests::requests(data));
