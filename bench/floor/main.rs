//! The floor under every broker: a relay that walks packet borders, copies and sends, and knows no topics.
//!
//! ```text
//! cargo bench --bench floor -- 127.0.0.1:1883             every message goes to every subscriber
//! cargo bench --bench floor -- 127.0.0.1:1883 --pairs 50  what client x-(50+n) publishes goes to client x-n
//! ```
//!
//! CONNECT and SUBSCRIBE get canned answers, acknowledgements come from whoever read the packet and promise nothing. What a
//! broker needs beyond this on the same machine is the price of being a broker.

mod relay;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use relay::{Relay, Target};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        [address] => serve(address, Some(Target::Everyone)),
        [address, "--pairs", count] => serve(address, count.parse().ok().map(Target::Partner)),
        _ => serve("", None),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: &str, target: Option<Target>) -> std::io::Result<()> {
    let address: Option<SocketAddr> = address.parse().ok();
    let (Some(address), Some(target)) = (address, target) else {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "usage: floor ADDRESS:PORT [--pairs COUNT]"));
    };
    let relay = Relay::listen(address, target)?;
    writeln!(std::io::stderr(), "floor: listening on {}", relay.address()?)?;
    relay.run()
}
