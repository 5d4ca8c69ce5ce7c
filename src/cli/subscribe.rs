//! `pregon sub`: subscribes, prints what comes, and leaves when it was told to.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};

use crossbeam_channel::Receiver;

use super::arguments::peer::Peer;
use super::arguments::subscribing::Subscribing;
use super::client::conversation::{Conversation, Heard, Message};
use super::client::error::{ClientError, words};
use super::client::greeting::Greeting;
use super::client::{Client, Woken, clock};
use super::complain;
use super::exit::Exit;
use super::format::Format;
use crate::base::time::Time;
use crate::mqtt::publish::Publish;
use crate::mqtt::suback::SubAck;
use crate::mqtt::subscribe::{RequestBuffer, Requested};
use crate::mqtt::unsubscribe::FilterBuffer;
use crate::mqtt::{Filter, QoS, Reason, Topic};

/// How long handshakes that are half done may take when we mean to leave.
const LEAVE_PATIENCE_MS: u64 = 5_000;

/// Subscribes and prints until the count, the time, or a signal from `interrupts` ends it.
pub fn run(arguments: &Subscribing, greeting: &Greeting, interrupts: &Receiver<()>) -> Result<Exit, ClientError> {
    let until = arguments.timeout.map_or(Time::NEVER, |millis| clock::now().after_ms(millis));
    let mut subscriber = Subscriber::new(arguments, io::stdout().lock());
    let Peer { host, port, debug, .. } = &arguments.peer;
    let mut client = Client::connect(host, *port, greeting, *debug, &mut |heard, talk| subscriber.hear(heard, talk))?;
    subscriber.ask(client.conversation());
    let exit = subscriber.listen(&mut client, interrupts, until)?;
    client.leave()?;
    Ok(exit)
}

/// What has come and what is still wanted. One for the whole run.
struct Subscriber<'a, W: Write> {
    arguments: &'a Subscribing,
    format: Format,
    out: BufWriter<W>,
    /// Topics whose retained message is to be cleared.
    to_clear: VecDeque<String>,
    printed: u64,
    /// Nothing further is wanted: what comes now is neither printed nor acknowledged, so a kept session keeps it.
    is_done: bool,
}

impl<'a, W: Write> Subscriber<'a, W> {
    fn new(arguments: &'a Subscribing, out: W) -> Self {
        let format = match (&arguments.format, arguments.verbose) {
            (Some(format), _) => format.clone(),
            (None, true) => Format::verbose(),
            (None, false) => Format::plain(),
        };
        Self { arguments, format, out: BufWriter::new(out), to_clear: VecDeque::new(), printed: 0, is_done: false }
    }

    /// The first request; the second one follows its answer.
    fn ask(&self, conversation: &mut Conversation) {
        if self.arguments.topic.is_empty() {
            self.ask_no_more(conversation);
            return;
        }
        let mut requests = RequestBuffer::default();
        for topic in &self.arguments.topic {
            let retain_as_published = self.arguments.retain_as_published;
            requests.push(&Requested { retain_as_published, ..Requested::new(topic, self.arguments.qos) });
        }
        conversation.subscribe(&requests);
    }

    fn ask_no_more(&self, conversation: &mut Conversation) {
        let mut filters = FilterBuffer::default();
        self.arguments.unsubscribe.iter().for_each(|filter| filters.push(filter));
        conversation.unsubscribe(&filters);
    }

    fn listen(&mut self, client: &mut Client, interrupts: &Receiver<()>, until: Time) -> Result<Exit, ClientError> {
        let mut patience = Time::NEVER;
        loop {
            self.clear_retained(client.conversation())?;
            if self.is_done && self.to_clear.is_empty() && client.conversation().is_settled() {
                return Ok(Exit::Done);
            }
            if self.is_done && patience.is_never() {
                patience = clock::now().after_ms(LEAVE_PATIENCE_MS);
            }
            let woken = client.wait(interrupts, until.min(patience), &mut |heard, talk| self.hear(heard, talk))?;
            // Printed first, acknowledged with the next wait: what is acknowledged was seen.
            self.out.flush().map_err(unprinted)?;
            match woken {
                Woken::Other(_) => return Ok(Exit::Done),
                _ if clock::now().has_passed(patience) => return Ok(Exit::Done),
                _ if clock::now().has_passed(until) => return Ok(Exit::TimedOut),
                Woken::Broker | Woken::Time => {}
            }
        }
    }

    fn hear(&mut self, heard: Heard<'_>, conversation: &mut Conversation) -> Result<(), ClientError> {
        match heard {
            Heard::Message(publish, topic) => self.take(&publish, topic, conversation),
            Heard::Subscribed(suback) => self.note_granted(&suback, conversation),
            Heard::Unsubscribed(_) => {
                self.note_ready();
                Ok(())
            }
            Heard::Settled(_, reason) if reason.is_error() => Err(ClientError::NotTaken { reason }),
            Heard::Settled(..) | Heard::Accepted { .. } | Heard::Nothing => Ok(()),
        }
    }

    fn note_granted(&mut self, suback: &SubAck<'_>, conversation: &mut Conversation) -> Result<(), ClientError> {
        let answers = self.arguments.topic.iter().zip(suback.reasons.iter());
        for (topic, reason) in answers.filter(|(_, reason)| reason.is_error()) {
            if !self.arguments.peer.quiet {
                complain(format_args!("no subscription to {topic}: {}", words(reason)));
            }
        }
        if suback.reasons.iter().all(Reason::is_error) {
            return Err(ClientError::NothingGranted);
        }
        if self.arguments.unsubscribe.is_empty() {
            self.note_ready();
        } else {
            self.ask_no_more(conversation);
        }
        Ok(())
    }

    fn note_ready(&mut self) {
        self.is_done |= self.arguments.exit_after_subscribe;
    }

    /// A message: in the order of `mosquitto_sub`, whose flags these are.
    fn take(
        &mut self,
        publish: &Publish<'_>,
        topic: Topic<'_>,
        conversation: &mut Conversation,
    ) -> Result<(), ClientError> {
        self.is_done |= self.arguments.retained_only && !publish.retain;
        if self.is_done {
            return Ok(());
        }
        if !self.is_filtered_out(topic) {
            if self.arguments.remove_retained && publish.retain {
                self.to_clear.push_back(topic.as_str().to_owned());
            }
            if !(self.arguments.no_retained && publish.retain) {
                self.print(publish, topic).map_err(unprinted)?;
                self.printed += 1;
                self.is_done |= self.arguments.count.is_some_and(|count| self.printed >= count.get());
            }
        }
        conversation.acknowledge(publish);
        Ok(())
    }

    fn is_filtered_out(&self, topic: Topic<'_>) -> bool {
        let filters = self.arguments.filter_out.iter();
        filters.filter_map(|text| Filter::parse(text).ok()).any(|filter| filter.matches(topic))
    }

    /// An empty message prints nothing of its own, and with the topic the word that mosquitto has for it.
    fn print(&mut self, publish: &Publish<'_>, topic: Topic<'_>) -> io::Result<()> {
        if publish.payload.is_empty() && self.arguments.format.is_none() {
            if !self.arguments.verbose {
                return Ok(());
            }
            write!(self.out, "{} (null)", topic.as_str())?;
        } else {
            self.format.print(topic, publish, &mut self.out)?;
        }
        if self.arguments.no_newline { Ok(()) } else { self.out.write_all(b"\n") }
    }

    fn clear_retained(&mut self, conversation: &mut Conversation) -> Result<(), ClientError> {
        while conversation.has_room()
            && let Some(topic) = self.to_clear.pop_front()
        {
            let topic = Topic::parse(&topic).expect("it came from a decoded packet");
            conversation.publish(Message { topic, payload: &[], qos: QoS::AtLeastOnce, is_retained: true })?;
        }
        Ok(())
    }
}

fn unprinted(error: io::Error) -> ClientError {
    ClientError::Local { what: "standard output".into(), error }
}
