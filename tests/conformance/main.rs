//! Conformance: each test proves statements of the standards and names them in doc lines above itself.
//!
//! A claim reads `/// v5: MQTT-3.1.0-1, X5-CONN-PIPELINE` or `/// v311: MQTT-3.1.0-1` and stands directly above `#[test]`.
//! The statements are tables beside this file, with the few that nothing here can observe in `exceptions.tsv`;
//! `cargo tidy` holds claims, exceptions and statements against each other and `cargo tidy scorecard --nocapture` counts them.

#[path = "../support/mod.rs"]
mod support;

mod smoke;
mod v31;
mod v3_connect;
mod v3_flows;
mod v3_format;
mod v3_publish;
mod v3_session;
mod v3_subscribe;
mod v3_topics;
mod v3_will;
mod v5_acknowledgements;
mod v5_auth_packet;
mod v5_bad_packets;
mod v5_bytes;
mod v5_connack_limits;
mod v5_connect;
mod v5_connect_auth;
mod v5_connect_session;
mod v5_connect_terms;
mod v5_connect_will;
mod v5_diagnostics;
mod v5_disconnect;
mod v5_encoding;
mod v5_enhanced_auth;
mod v5_expiry;
mod v5_flow_control;
mod v5_handshake;
mod v5_ordering;
mod v5_publish_actions;
mod v5_publish_flags;
mod v5_publish_properties;
mod v5_qos_delivery;
mod v5_scram;
mod v5_session_life;
mod v5_shared;
mod v5_subscribe;
mod v5_subscription_options;
mod v5_topic_names;
mod v5_unsubscribe;
mod v5_versions;
mod v5_will_life;
