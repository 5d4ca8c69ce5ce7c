//! `rumqttc`, a client that is not ours, in 3.1.1 and 5.

/// The same checks over the types of one version, which differ by their paths alone; `$own` says what really differs.
macro_rules! checks {
    ($version:ident, { $($own:tt)* }) => {
        mod $version {
            $($own)*

            use crate::patience::{Deadline, PATIENCE};
            use crate::process::Broker;

            /// A connected client.
            struct Party {
                client: Client,
                connection: Connection,
            }

            impl Party {
                /// Connects with more options than a clean session; tells Session Present, too.
                #[track_caller]
                fn with(broker: &Broker, id: &str, change: impl FnOnce(&mut MqttOptions)) -> (Self, bool) {
                    let mut options = MqttOptions::new(id, "127.0.0.1", broker.address.port());
                    change(&mut options);
                    let (client, connection) = Client::new(options, 100);
                    let mut party = Self { client, connection };
                    let is_present = party.wait("CONNACK", |incoming| match incoming {
                        Incoming::ConnAck(connack) => Some(connack.session_present),
                        _ => None,
                    });
                    (party, is_present)
                }

                #[track_caller]
                fn connect(broker: &Broker, id: &str) -> Self {
                    Self::with(broker, id, |_| ()).0
                }

                /// What the broker says next of the kind that `pick` wants.
                #[track_caller]
                fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(Incoming) -> Option<T>) -> T {
                    let deadline = Deadline::after(PATIENCE);
                    loop {
                        let left = deadline.left().unwrap_or_else(|| panic!("waited in vain for {what}"));
                        let Ok(event) = self.connection.recv_timeout(left) else { continue };
                        if let Event::Incoming(incoming) = event.expect("the connection holds")
                            && let Some(found) = pick(incoming)
                        {
                            return found;
                        }
                    }
                }

                #[track_caller]
                fn subscribe(&mut self, topic: &str, qos: QoS) {
                    self.client.subscribe(topic, qos).expect("there is room for a request");
                    self.wait("SUBACK", |incoming| matches!(incoming, Incoming::SubAck(_)).then_some(()));
                }

                /// Publishes and waits until the handshake is over.
                #[track_caller]
                fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) {
                    self.client.publish(topic, qos, retain, payload.to_owned()).expect("there is room for a request");
                    self.wait("the end of the handshake", |incoming| match (qos, incoming) {
                        (QoS::AtLeastOnce, Incoming::PubAck(_)) | (QoS::ExactlyOnce, Incoming::PubComp(_)) => Some(()),
                        _ => None,
                    });
                }

                /// The next message: payload, quality of service, RETAIN.
                #[track_caller]
                fn take(&mut self) -> (String, u8, bool) {
                    self.wait("a message", |incoming| match incoming {
                        Incoming::Publish(publish) => {
                            let payload = String::from_utf8(publish.payload.to_vec()).expect("text");
                            Some((payload, publish.qos as u8, publish.retain))
                        }
                        _ => None,
                    })
                }
            }

            #[test]
            fn each_quality_arrives() {
                let broker = Broker::start(3);
                let mut publisher = Party::connect(&broker, "publisher");
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let mut subscriber = Party::connect(&broker, "subscriber");
                    subscriber.subscribe("quality", qos);
                    publisher.publish("quality", "first", QoS::ExactlyOnce, false);
                    publisher.publish("quality", "second", QoS::AtLeastOnce, false);
                    assert_eq!(subscriber.take(), ("first".to_owned(), qos as u8, false));
                    assert_eq!(subscriber.take(), ("second".to_owned(), (qos as u8).min(1), false));
                }
            }

            #[test]
            fn will_of_one_that_breaks_off_arrives() {
                let broker = Broker::start(3);
                let mut witness = Party::connect(&broker, "witness");
                witness.subscribe("will", QoS::ExactlyOnce);
                let (mortal, _) = Party::with(&broker, "mortal", |options| {
                    options.set_last_will(will("will", "unexpected exit"));
                });
                drop(mortal);
                assert_eq!(witness.take(), ("unexpected exit".to_owned(), 1, false));
            }

            #[test]
            fn retained_message_is_found() {
                let broker = Broker::start(3);
                Party::connect(&broker, "publisher").publish("kept/here", "x", QoS::AtLeastOnce, true);
                let mut subscriber = Party::connect(&broker, "subscriber");
                // The message may come before SUBACK, so nobody waits for that one.
                subscriber.client.subscribe("kept/#", QoS::AtLeastOnce).expect("there is room for a request");
                assert_eq!(subscriber.take(), ("x".to_owned(), 1, true));
            }

            #[test]
            fn session_is_resumed() {
                let broker = Broker::start(3);
                let (mut first, is_present) = Party::with(&broker, "lasting", last);
                assert!(!is_present);
                first.subscribe("queue", QoS::AtLeastOnce);
                drop(first);
                let mut publisher = Party::connect(&broker, "publisher");
                for payload in ["one", "two", "three"] {
                    publisher.publish("queue", payload, QoS::AtLeastOnce, false);
                }
                let (mut again, is_present) = Party::with(&broker, "lasting", last);
                assert!(is_present);
                assert_eq!([0; 3].map(|_| again.take().0), ["one", "two", "three"]);
            }
        }
    };
}

checks!(v311, {
    use rumqttc::{Client, Connection, Event, Incoming, LastWill, MqttOptions, QoS};

    fn will(topic: &str, payload: &str) -> LastWill {
        LastWill::new(topic, payload.to_owned(), QoS::AtLeastOnce, false)
    }

    fn last(options: &mut MqttOptions) {
        options.set_clean_session(false);
    }
});

checks!(v5, {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::LastWill;
    use rumqttc::v5::{Client, Connection, Event, Incoming, MqttOptions};

    fn will(topic: &str, payload: &str) -> LastWill {
        LastWill::new(topic, payload.to_owned(), QoS::AtLeastOnce, false, None)
    }

    fn last(options: &mut MqttOptions) {
        options.set_clean_start(false).set_session_expiry_interval(Some(600));
    }
});
