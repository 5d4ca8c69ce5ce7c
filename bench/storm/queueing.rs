//! Messages for clients that are away: one publisher over plain MQTT, quality of service 1.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::ControlFlow;

use pregon::mqtt::connect::Connect;
use pregon::mqtt::frame::{Assembler, PACKET_BYTES_MAX};
use pregon::mqtt::properties::Properties;
use pregon::mqtt::{PacketType, Version};

use super::arguments::Arguments;
use super::client::topic;

/// Messages that wait for their acknowledgement.
const WINDOW: usize = 500;
/// Bytes of a payload; the first says which message it is.
const PAYLOAD_BYTES: usize = 64;

/// Publishes what each client is owed, and waits until all is acknowledged.
pub fn publish(arguments: &Arguments) -> io::Result<()> {
    if arguments.queued == 0 {
        return Ok(());
    }
    let mut stream = TcpStream::connect(arguments.plain.unwrap_or(arguments.address))?;
    stream.set_nodelay(true)?;
    let (mut out, mut inbox) = (Vec::new(), Assembler::new());
    connect(arguments, &mut out);
    stream.write_all(&out)?;
    answers(&mut stream, &mut inbox, PacketType::ConnAck, 1)?;
    let messages: Vec<(u32, u32)> =
        (0..arguments.queued).flat_map(|message| (0..arguments.clients).map(move |client| (client, message))).collect();
    for some in messages.chunks(WINDOW) {
        out.clear();
        for (id, (client, message)) in (1_u16..).zip(some) {
            let (topic, mut payload) = (topic(*client), [b'.'; PAYLOAD_BYTES]);
            payload[0] = u8::try_from(*message).expect("64 at most");
            let len = 2 + topic.len() + 2 + 1 + PAYLOAD_BYTES;
            out.extend_from_slice(&[
                PacketType::Publish.bits() << 4 | 0b10,
                u8::try_from(len).expect("a short packet"),
            ]);
            out.extend_from_slice(&u16::try_from(topic.len()).expect("a short topic").to_be_bytes());
            out.extend_from_slice(topic.as_bytes());
            out.extend_from_slice(&id.to_be_bytes());
            out.push(0); // no properties
            out.extend_from_slice(&payload);
        }
        stream.write_all(&out)?;
        answers(&mut stream, &mut inbox, PacketType::PubAck, some.len())?;
    }
    Ok(())
}

fn connect(arguments: &Arguments, out: &mut Vec<u8>) {
    let password = arguments.password.as_deref();
    let packet = Connect {
        version: Version::V5,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        client_id: "storm-publisher",
        will: None,
        user_name: password.map(|_| "user-0"),
        password: password.map(str::as_bytes),
        properties: Properties::NONE,
    };
    packet.encode(out);
}

/// Waits for so many packets of a type.
fn answers(stream: &mut TcpStream, inbox: &mut Assembler, wanted: PacketType, mut count: usize) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    while count > 0 {
        let size = stream.read(&mut buffer)?;
        if size == 0 {
            return Err(io::Error::other("the broker has closed the publisher's connection"));
        }
        let fed = inbox.feed(&buffer[..size], PACKET_BYTES_MAX, |frame| {
            count -= usize::from(PacketType::of_first_byte(frame.first) == Some(wanted) && count > 0);
            ControlFlow::Continue(())
        });
        fed.map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}
