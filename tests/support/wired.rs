//! Golden conversations and durable runs are played against a broker in memory.

use super::cast::Wires;
use super::golden::Wire;
use super::world::World;

impl Wire for World {
    fn connect(&mut self) -> usize {
        Self::connect(self)
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        if !self.links[client].is_closed {
            Self::send(self, client, bytes);
        }
        self.drive();
    }

    fn receive(&mut self, client: usize) -> Vec<u8> {
        self.drive();
        Self::receive(self, client)
    }

    fn is_closed(&mut self, client: usize) -> bool {
        self.links[client].is_closed
    }

    fn close(&mut self, client: usize) {
        self.cut(client);
        self.drive();
    }
}

/// The clients of a durable run come to a broker in memory; whoever drives it decides when bytes move.
impl Wires for World {
    fn connect(&mut self) -> usize {
        Self::connect(self)
    }

    fn send(&mut self, link: usize, bytes: &[u8]) {
        Self::send(self, link, bytes);
    }

    fn receive(&mut self, link: usize) -> Vec<u8> {
        Self::receive(self, link)
    }

    fn is_closed(&mut self, link: usize) -> bool {
        self.links[link].is_closed
    }

    fn close(&mut self, link: usize) {
        self.cut(link);
    }
}
