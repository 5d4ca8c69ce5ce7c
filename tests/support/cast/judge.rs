//! Whether what came to a subscriber is what had to come.

use super::books::{Books, Said, takes};
use super::subscriber::{Span, Subscriber, Wish};

/// At which quality of service a message comes for these wishes, if it comes.
fn granted(said: Said, wishes: &[Wish]) -> Option<u8> {
    let wishes = wishes.iter().filter(|(filter, _)| takes(filter, said.topic));
    wishes.map(|(_, qos)| said.qos.min(*qos)).max()
}

impl Subscriber {
    /// Asserts that nothing is lost, nothing came twice that must come once, nothing came that had no right to, and nothing has overtaken.
    pub(super) fn judge(&self, books: &Books) {
        self.judge_arrivals(books);
        self.judge_promises(books);
        self.judge_order();
    }

    fn judge_arrivals(&self, books: &Books) {
        let who = self.name();
        for (message, counts) in &self.got {
            let said = books.said(*message);
            let is_once = counts[0] <= 1 && counts[2] <= 1;
            assert!(is_once, "message {message} came {counts:?} times to {who}: {said:?}");
            if !takes(self.wavering().0, said.topic) {
                let qos = granted(said, self.steady()).map(usize::from).expect("it is wanted");
                assert_eq!(counts[qos], counts.iter().sum::<u32>(), "message {message} for {who}: {said:?}");
            }
        }
        for message in books.withdrawn() {
            assert!(!self.got.contains_key(&message), "the will {message} came to {who} and was taken back");
        }
    }

    fn judge_promises(&self, books: &Books) {
        let who = self.name();
        let Some(since) = self.since else { return };
        let (there, gone) = (self.spans(true, books), self.spans(false, books));
        for (place, message) in books.promised().iter().enumerate() {
            let said = books.said(*message);
            let is_within = |span: &Span| *message >= span.since && place < span.until;
            let is_steady = granted(said, self.steady()).is_some() && *message >= since;
            // Copies that are put off are for whoever wants them then.
            let is_sure = !books.has_late_copies;
            let is_wavering = is_sure && granted(said, &[self.wavering()]).is_some() && there.iter().any(is_within);
            let has_come = self.got.contains_key(message);
            let is_due = (is_steady || is_wavering) && !said.is_erasure;
            assert!(!is_due || has_come, "message {message} is lost for {who}: {said:?}");
            let is_foreign = is_sure && granted(said, self.steady()).is_none() && gone.iter().any(is_within);
            assert!(!is_foreign || !has_come, "message {message} came to {who}, who had unsubscribed: {said:?}");
        }
    }

    fn judge_order(&self) {
        let Some(since) = self.since else { return };
        for ((who, topic, said, came), firsts) in &self.firsts {
            if self.steady().iter().any(|(filter, _)| takes(filter, topic)) {
                // What nobody wanted when it was sent first may come late when it is sent again.
                let firsts: Vec<u32> = firsts.iter().copied().filter(|first| *first >= since).collect();
                let whose = format!("publisher {who}, {topic}, {said} as {came}, for {}", self.name());
                assert!(firsts.is_sorted(), "messages of one publisher stay in order: {whose}: {firsts:?}");
            }
        }
    }
}
