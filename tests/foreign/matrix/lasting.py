"""Sessions that outlive a change of rules: live, absent with a queue, without acknowledgements; and wills that wait."""
import dataclasses
from collections import Counter

import cells
import model
import wire
from phases import KEEPER, Guest, numbers

# How a session meets the change: connected, away until rights are gone, or are back, cut off without having acknowledged.
LIVE, AWAY, LONG_AWAY = "live", "away", "away until rights are back"
UNSAID_1, UNSAID_2 = "not acknowledged, qos 1", "not acknowledged, qos 2"
KINDS = {LIVE: 2, AWAY: 1, LONG_AWAY: 2, UNSAID_1: 1, UNSAID_2: 2}  # with the quality of service that it asks for


class Session:
    """One session of one kind: what it was granted, and what it has to get next."""

    def __init__(self, stage, kind, actor, version, way):
        self.stage, self.kind, self.qos = stage, kind, KINDS[kind]
        self.guest = Guest(stage.broker, actor, version, way, keep=True, acknowledges=not kind.startswith("not"))
        # Messages that are still to come: by which rules and as whom they were judged first, and whether the client was there.
        self.routes = {}
        self.is_there, self.is_known = True, stage.rules.asks_where
        self.mark = 0

    def begin(self):
        """Asks for all filters in one packet."""
        guest, line = self.guest, self.guest.line
        self.stage.ledger.check(f"{guest} connects", [0], line.answer(wire.CONNACK))
        names = [guest.named(form) for form in cells.FILTERS]
        names = [name for name in names if model.is_filter(model.own_filter(name))]
        found = line.answer(wire.SUBACK, line.subscribe(*[(name, self.qos) for name in names], ("$barrier/live", 1)))
        wanted = [model.suback(self.stage.rules, guest.who, guest.version, name, self.qos) for name in names]
        for name, code, answer in zip(names, wanted, found or [None] * len(names)):
            self.stage.ledger.check(self.stage.cell(guest, f"subscribe {name} qos {self.qos} among others"), code, answer)
        self.granted = [name for name, code in zip(names, wanted) if code < 0x80]

    def copies(self, topic, payload, leaving):
        """How many copies of a message come, by the rules of when it leaves: one for all own subscriptions, one for each shared.

        An own copy was judged when it was published, too. What waits for a group is nobody's until a member is there.
        """
        routed, who, was_there = self.routes.pop(payload, (None, None, False))
        if routed is None or not leaving.may_receive(self.guest.who, topic):
            return 0
        might = routed.may_receive(who, topic)
        hits = [name for name in self.granted if model.matches(model.own_filter(name), topic)]
        shared = sum(name.startswith("$share/") for name in hits)
        return (len(hits) > shared and might) + (shared if might or not was_there else 0)

    def come_back(self):
        """Takes up the session again, with its next token, and acknowledges from now on."""
        old = self.guest
        self.is_there = True
        self.guest = Guest(self.stage.broker, old.actor.again(), old.version, old.way, client=old.client, keep=True, clean=False)
        self.mark = 0
        line = self.guest.line
        self.stage.ledger.check(self.stage.cell(self.guest, f"comes back ({self.kind})"), [0], line.answer(wire.CONNACK))

    def hear(self, messages, end, since):
        """Holds what has come of these messages, up to the last one, against what is due."""
        line, rules = self.guest.line, self.stage.rules
        due = {payload: self.copies(topic, payload, rules) for topic, payload, _, _ in messages}
        line.until(lambda: end in line.seen)
        line.until(lambda: all(line.seen.get(payload, 0) >= count for payload, count in due.items()), self.stage.ledger.grace())
        found = Counter(message[1] for message in line.heard[self.mark:] if not message[3])
        self.mark = len(line.heard)
        for topic, payload, qos, _ in messages:
            what = f"{since}: {self.kind}: {topic} qos {qos}"
            self.stage.ledger.check(self.stage.cell(self.guest, what), due[payload], found.get(payload, 0))

    def cut(self, messages, end):
        """Goes without a word when these have come, none of which it has acknowledged."""
        line, routes, self.is_there = self.guest.line, dict(self.routes), False
        due = {payload: self.copies(topic, payload, self.stage.rules) for topic, payload, _, _ in messages}
        line.until(lambda: end in line.seen)
        line.until(lambda: all(line.seen.get(payload, 0) >= count for payload, count in due.items()), self.stage.ledger.grace())
        line.cut()
        self.routes = routes


class Lasting:
    """All such sessions of a broker, from before a change until after it is undone."""

    def __init__(self, stage):
        self.stage, self.ledger = stage, stage.ledger
        self.ledger.begin(f"{stage.moment}: sessions that last")
        self.sessions = [
            Session(stage, kind, actor, version, actor.ways()[(index + place + version) % len(actor.ways())])
            for index, actor in enumerate(actor for actor in stage.actors if not actor.client)
            for place, kind in enumerate(KINDS) for version in cells.VERSIONS
        ]
        for session in self.sessions:
            session.begin()
        for session in self.of(AWAY, LONG_AWAY):
            session.guest.line.leave()
            session.is_there = False

    def of(self, *kinds):
        return [session for session in self.sessions if session.kind in kinds]

    def publish(self, letter):
        """A message for each topic. Returns the messages and the last one's payload."""
        rules = self.stage.rules
        messages = [(topic, f"{letter}{next(numbers)}", 1 + index % 2, False) for index, topic in enumerate(cells.TOPICS)
                    if rules.may_publish(KEEPER, topic, 1, False)]
        end = f"E{next(numbers)}"
        self.stage.say(messages)
        self.stage.say([("$barrier/live", end, 1, False)])
        for session in self.sessions:
            session.is_known = rules.asks_where if session.is_there else session.is_known
            who = dataclasses.replace(session.guest.who, is_known=session.is_known)
            session.routes.update({payload: (rules, who, session.is_there) for _, payload, _, _ in messages})
        return messages, end

    def play(self, source_gone, source_back, read):
        stage, away = self.stage, (AWAY, UNSAID_1, UNSAID_2)
        first, end = self.publish("Q")
        for session in self.of(LIVE):
            session.hear(first, end, "before")
        for session in self.of(UNSAID_1, UNSAID_2):
            session.cut(first, end)
        wishes = [wish for version in cells.VERSIONS for wish in stage.wishes(version, version == 5)]

        stage.change("rights gone under way", source_gone, read)
        self.ledger.begin("rights gone under way: sessions that last")
        second, end = self.publish("G")
        for session in self.of(LIVE):
            session.hear(second, end, "rights gone")
        for session in self.of(*away):
            session.come_back()
        for session in self.of(*away):
            session.hear(first + second, end, "published before and after")
        stage.cut(wishes, "left before: ")
        wishes = [wish for version in cells.VERSIONS for wish in stage.wishes(version, version == 5)]

        stage.change("rights back under way", source_back, read)
        self.ledger.begin("rights back under way: sessions that last")
        third, end = self.publish("B")
        for session in self.of(LONG_AWAY):
            session.come_back()
        for session in self.of(LONG_AWAY):
            session.hear(first + second + third, end, "published before, meanwhile and after")
        for session in self.of(LIVE, *away):
            session.hear(third if session.kind == LIVE else first + second + third, end, "rights back")
        stage.cut(wishes, "left while others had no right to: ")
        self.ledger.end()
        for session in self.sessions:
            self.forget(session.guest)

    def forget(self, guest):
        """Ends a session for good."""
        guest.line.leave()
        last = Guest(self.stage.broker, guest.actor, guest.version, guest.way, client=guest.client)
        last.line.answer(wire.CONNACK)
        last.line.leave()
