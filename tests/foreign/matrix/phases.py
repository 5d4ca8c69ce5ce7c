"""The cells, played in phases: many at once over few connections, and what comes of each held against the model."""
import itertools

import broker as process
import cells
import model
import wire

CLAIM = "acl"  # what a broker is told to look for, where it is told
NOT_OURS = ("$barrier/", "$SYS/broker")
SHOWN = 40  # cells of a group that are told when they differ; all are counted
BARRIERS = 8  # retained messages of `$barrier/`, enough to lie on every shard
numbers = itertools.count(1)


class Ledger:
    """What was checked: cells by group, and those that differ."""

    def __init__(self):
        self.groups, self.failures, self.group = {}, 0, ""

    def begin(self, group):
        self.end()
        self.group, self.bad = group, 0
        self.groups.setdefault(group, 0)

    def check(self, cell, expected, found):
        """One cell: `cell` says all that it takes to play it again."""
        self.groups[self.group] += 1
        if expected != found:
            self.failures += 1
            self.bad += 1
            if self.bad <= SHOWN:
                print(f"FAILED {self.group}: {cell}: the model says {expected}, the broker {found}", flush=True)

    def end(self):
        """Sums up the group."""
        if self.group and not self.bad:
            print(f"ok {self.group}: {self.groups[self.group]} cells", flush=True)
        elif self.group:
            print(f"     {self.group}: {self.bad} of {self.groups[self.group]} cells differ", flush=True)
        self.group = ""

    def grace(self):
        """How many seconds what is due may come later than what ends its round; once much is wrong, few."""
        return wire.PATIENCE / 3 if self.failures < 3 else 1.0 if self.failures < 20 else 0.05

    def total(self):
        return sum(self.groups.values())


class Guest:
    """An actor's connection: by which version and way it came, and what the broker knows of it."""

    def __init__(self, broker, actor, version, way, client=None, keep=False, clean=True, will=None, acknowledges=True,
                 ends_in=3600):
        number = next(numbers)
        self.actor, self.version, self.way = actor, version, way
        self.client = client or actor.client or f"{'uw'[number % 2]}{number}"
        address = cells.ADDRESS.get(way, "127.0.0.1")
        fingerprint = broker.files.prints[actor.certificate]
        claim = actor.claim if broker.asks_for_claims else None
        self.who = model.Who(actor.user, self.client, actor.groups, actor.certificate, fingerprint, address, claim)
        self.line = wire.Client(wire.reach(broker.doors, way, actor.certificate), version, acknowledges)
        user = actor.user
        password = None if user is None else self.token(ends_in) if actor.token else cells.PASSWORD
        if actor.certificate:
            user = password = None
        self.line.send(wire.connect(version, self.client, user, password, clean and (version == 5 or not keep), keep, will))
        self.line.flush()

    def token(self, ends_in):
        claim = {} if self.actor.claim is None else {CLAIM: self.actor.claim}
        return process.token(self.actor.user, self.actor.groups, ends_in, **claim)

    def named(self, form):
        """A topic or filter with this guest's names in it."""
        user = "nobody" if self.actor.user is None else self.actor.user
        return form.replace("{u}", user).replace("{c}", self.client).replace("{g}", f"g{next(numbers)}")

    def has(self, index):
        """Whether this of an actor's connections takes the cell with this number."""
        return (index + self.part) % self.parts == 0

    def __str__(self):
        return f"{self.actor.name} as {self.client}, MQTT {cells.VERSIONS[self.version]} over {self.way}"


class Stage:
    """A broker under the rules of one moment, the model of them, and its keeper."""

    def __init__(self, broker, ledger, moment, rules, turn, actors=cells.ACTORS):
        self.broker, self.ledger, self.moment, self.rules, self.turn = broker, ledger, moment, rules, turn
        self.actors = actors
        self.store = {}  # retained messages: topic to (payload, qos)
        self.keeper = self.keep()

    def keep(self):
        """Who may do everything, and sees everything."""
        guest = Guest(self.broker, cells.Actor("keeper", cells.KEEPER), 5, "tcp", f"keeper{next(numbers)}")
        guest.line.answer(wire.CONNACK)
        line = guest.line
        line.answer(wire.SUBACK, line.subscribe(("#", 2), ("$x/#", 2), ("$SYS/#", 2), ("$barrier/done", 2)))
        return line

    def change(self, moment, source, rules):
        """Other rules, from now on."""
        source = self.broker.files.told(source)
        self.moment, self.rules, self.turn = moment, rules(source), self.turn + 1
        self.broker.reload(source)

    def say(self, messages):
        """The keeper publishes (topic, payload, qos, retain), and waits until all are taken."""
        line = self.keeper
        said = [(qos, line.publish(topic, payload, qos, retain)) for topic, payload, qos, retain in messages]
        line.flush()
        for qos, identifier in said:
            if qos and line.answer(wire.PUBACK if qos == 1 else wire.PUBCOMP, identifier) is None:
                raise RuntimeError("the keeper is not answered")

    def seed(self):
        """A retained message for each topic, and those of the barrier."""
        messages = [(topic, f"R{next(numbers)}", index % 3, True) for index, topic in enumerate(cells.TOPICS)
                    if self.rules.may_publish(KEEPER, topic, 0, True)]
        self.store.update({topic: (payload, qos) for topic, payload, qos, _ in messages})
        self.say(messages + [(f"$barrier/{number}", "B", 1, True) for number in range(BARRIERS)])

    def guests(self, version):
        """Connections of all actors for one version; those with a name of their own come by two ways."""
        found = []
        for index, actor in enumerate(self.actors):
            ways = actor.ways()
            first = (index + version + self.turn) % len(ways)
            chosen = {ways[first]} if actor.client else {ways[first], ways[(first + 3) % len(ways)]}
            for part, way in enumerate(sorted(chosen)):
                guest = Guest(self.broker, actor, version, way)
                guest.part, guest.parts = part, len(chosen)
                found.append(guest)
        for guest in found:
            self.ledger.check(f"{self.moment}: {guest} connects", [0], guest.line.answer(wire.CONNACK))
        return [guest for guest in found if not guest.line.closed]

    # ---- subscribing, retained messages, live ones

    def subscribing(self, version, forms):
        """Each guest asks for its filters, one after the other: the answer, what was retained, what comes live."""
        self.ledger.begin(f"{self.moment}: subscribing, MQTT {cells.VERSIONS[version]}")
        guests = self.guests(version)
        for index, form in enumerate(forms):
            qos = (index + self.turn + version) % 3
            asked = [(guest, guest.named(form)) for guest in guests if guest.has(index) and not guest.line.closed]
            asked = [(guest, name) for guest, name in asked if model.is_filter(model.own_filter(name))]
            granted = self.ask(asked, qos)
            self.receive(form, granted, index)
        for guest in guests:
            guest.line.leave()

    def cell(self, guest, what):
        """All that it takes to play a cell again."""
        return f"{self.moment}: {guest}: {what}"

    def ask(self, asked, qos):
        """SUBACK and retained messages; returns (guest, filter, granted, mark) of the granted ones."""
        waiting, granted = [], []
        for guest, name in asked:
            line, mark = guest.line, len(guest.line.heard)
            identifier = line.subscribe((name, qos))
            barrier = line.seen.get("B", 0) + BARRIERS
            line.subscribe(("$barrier/+", 1))
            line.flush()
            waiting.append((guest, name, identifier, barrier, mark))
        for guest, name, identifier, barrier, mark in waiting:
            line = guest.line
            code = (line.answer(wire.SUBACK, identifier) or [None])[0]
            wanted = model.suback(self.rules, guest.who, guest.version, name, qos)
            self.ledger.check(self.cell(guest, f"subscribe {name} qos {qos}"), wanted, code)
            if not line.until(lambda: line.seen.get("B", 0) >= barrier):
                how = "is closed" if line.closed else "nothing comes"
                self.ledger.check(self.cell(guest, f"subscribe {name} qos {qos}"), "goes on", how)
                continue
            is_granted = wanted < 0x80
            found = sorted(message[:3] for message in line.heard[mark:] if message[3] and not message[0].startswith(NOT_OURS))
            expected = {} if name.startswith("$share/") or not is_granted else \
                model.delivered(self.rules, guest.who, name, qos, [(topic, kept[1]) for topic, kept in self.store.items()])
            expected = sorted((topic, self.store[topic][0], least) for topic, least in expected.items())
            self.ledger.check(self.cell(guest, f"retained by {name} qos {qos}"), expected, found)
            granted.append((guest, name, qos if is_granted else None, len(line.heard)))
        return granted

    def receive(self, form, granted, index):
        """Live messages on all topics: which of them come."""
        number = next(numbers)
        topics = list(cells.TOPICS)
        if "{c}" in form:
            topics += [f"m/c/{guest.client}/x" for guest, *_ in granted if model.is_topic(guest.client)]
        messages = [(topic, (place + index) % 3) for place, topic in enumerate(topics)
                    if self.rules.may_publish(KEEPER, topic, 0, False)]
        self.say([(topic, f"L{number}", qos, False) for topic, qos in messages])
        self.say([("$barrier/live", f"E{number}", 0, False)])
        for guest, name, qos, mark in granted:
            line = guest.line
            wanted = {} if qos is None else model.delivered(self.rules, guest.who, name, qos, messages)
            line.until(lambda: f"E{number}" in line.seen)
            line.until(lambda: line.seen.get(f"L{number}", 0) >= len(wanted), self.ledger.grace())
            found = sorted((message[0], message[2]) for message in line.heard[mark:] if message[1] == f"L{number}")
            late = [message for message in line.heard[mark:] if message[1] not in ("B", f"E{number}", f"L{number}")]
            self.ledger.check(self.cell(guest, f"receive by {name} qos {qos}"), (sorted(wanted.items()), []), (found, late))
            line.unsubscribe(name)
            line.flush()

    # ---- publishing

    def publishing(self, version, variants):
        """Each guest publishes on its topics: the answer, what others see of it, what is retained."""
        self.ledger.begin(f"{self.moment}: publishing, MQTT {cells.VERSIONS[version]}")
        for guest in self.guests(version):
            topics = [guest.named(form) for form in cells.TOPICS + cells.OWN_TOPICS]
            topics = [topic for index, topic in enumerate(topics) if guest.has(index) and model.is_topic(topic)]
            said = []
            for topic, (qos, retain) in itertools.product(topics, variants):
                payload = f"P{next(numbers)}"
                said.append((topic, payload, qos, retain, guest.line.publish(topic, payload, qos, retain)))
            done = f"D{next(numbers)}"
            last = guest.line.publish("$barrier/done", done, 1)
            guest.line.flush()
            self.judge(guest, said, last, done)
            guest.line.leave()
        self.kept()

    def judge(self, guest, said, last, done):
        line = guest.line
        line.answer(wire.PUBACK, last)
        expected = {}
        for topic, payload, qos, retain, _ in said:
            if self.rules.may_publish(guest.who, topic, qos, retain):
                expected[payload] = (topic, qos, retain)
                if retain:
                    self.store[topic] = (payload, qos)
        keeper = self.keeper
        keeper.until(lambda: done in keeper.seen, 0.5 if line.closed else wire.PATIENCE)
        keeper.until(lambda: all(payload in keeper.seen for payload in expected), self.ledger.grace())
        found = {message[1]: (message[0], message[2], message[3]) for message in keeper.heard}
        keeper.heard.clear()
        for topic, payload, qos, retain, identifier in said:
            answer = None
            if qos == 2:
                reason = (line.answer(wire.PUBREC, identifier, 0.5 if line.closed else wire.PATIENCE) or [None])[0]
                answer = reason if reason or line.answer(wire.PUBCOMP, identifier) else "no PUBCOMP"
            elif qos == 1:
                answer = (line.answer(wire.PUBACK, identifier) or ["nothing"])[0]
            wanted = model.puback(self.rules, guest.who, guest.version, topic, qos, retain)
            what = f"publish {topic} qos {qos}{' retained' if retain else ''}"
            self.ledger.check(self.cell(guest, what), (wanted, expected.get(payload)), (answer, found.pop(payload, None)))
        strangers = [payload for payload in found if payload[0] in "PW"]
        if strangers:
            self.ledger.check(self.cell(guest, "what came late"), [], strangers)

    def kept(self):
        """What is retained now, topic by topic: a refused message has replaced nothing."""
        found = self.retained()
        for topic in sorted(set(found) | set(self.store)):
            self.ledger.check(f"{self.moment}: what is retained on {topic}", self.store.get(topic), found.get(topic))

    def retained(self):
        """What the broker has retained: topic to (payload, qos)."""
        reader = self.keep()
        reader.until(lambda: len(reader.heard) >= len(self.store), self.ledger.grace())
        reader.answer(wire.PUBACK, reader.publish("$barrier/done", "K", 1))
        reader.until(lambda: "K" in reader.seen)
        reader.leave()
        return {message[0]: message[1:3] for message in reader.heard if not message[0].startswith(NOT_OURS)}

    # ---- wills

    def wills(self, version):
        """Each guest leaves wills and is cut off: which of them come."""
        self.ledger.begin(f"{self.moment}: wills, MQTT {cells.VERSIONS[version]}")
        self.cut(self.wishes(version))

    def wishes(self, version, has_fixed=True):
        """Guests with wills, (guest, topic, payload, qos, retain): of a name that is always the same one at a time."""
        out = []
        for index, actor in enumerate(self.actors):
            if actor.client and not has_fixed:
                continue
            forms = [cells.WILLS[(index + self.turn + version) % len(cells.WILLS)]] if actor.client else \
                [form for place, form in enumerate(cells.WILLS) if (place + index + version + self.turn) % 2]
            for place, form in enumerate(forms):
                way = actor.ways()[(place + index + self.turn) % len(actor.ways())]
                client = actor.client or f"{'uw'[place % 2]}{next(numbers)}"
                topic = form.replace("{u}", actor.user or "nobody").replace("{c}", client)
                if not model.is_topic(topic):
                    continue
                payload, qos, retain = f"W{next(numbers)}", (place + index) % 3, (place + index) // 3 % 2 == 1
                guest = Guest(self.broker, actor, version, way, client, will=(topic, payload, qos, retain))
                out.append((guest, topic, payload, qos, retain))
        for guest, topic, _, qos, retain in out:
            wanted = model.connack(self.rules, guest.who, version, (topic, qos, retain))
            answer = (guest.line.answer(wire.CONNACK) or [None])[0]
            what = f"connect with a will for {topic} qos {qos}{' retained' if retain else ''}"
            self.ledger.check(self.cell(guest, what), wanted, answer)
            guest.is_in = answer == 0
        return out

    def cut(self, wishes, since=""):
        """Cuts guests off, and sees which wills come."""
        wishes = [wish for wish in wishes if wish[0].is_in]
        for guest, *_ in wishes:
            guest.line.cut()
        self.broker.settle("pregon_connections")
        expected = {payload: (topic, qos, retain) for guest, topic, payload, qos, retain in wishes
                    if self.rules.may_publish(guest.who, topic, qos, retain, "will")}
        keeper = self.keeper
        keeper.until(lambda: all(payload in keeper.seen for payload in expected), self.ledger.grace())
        for _ in range(3):
            self.say([("$barrier/done", done := f"D{next(numbers)}", 1, False)])
            keeper.until(lambda: done in keeper.seen)
        found = {message[1]: (message[0], message[2], message[3]) for message in keeper.heard}
        keeper.heard.clear()
        lasting = {}
        for guest, topic, payload, qos, retain in wishes:
            if payload in expected and retain:
                lasting.setdefault(topic, []).append((payload, qos))
            what = f"{since}will for {topic} qos {qos}{' retained' if retain else ''}"
            self.ledger.check(self.cell(guest, what), expected.get(payload), found.get(payload))
        self.store.update({topic: wills[-1] for topic, wills in lasting.items()})
        self.decide({topic: wills for topic, wills in lasting.items() if len(wills) > 1}, since)

    def decide(self, contested, since):
        """Guests who are cut off at once have no order: of their retained wills for a topic, any may be the last."""
        found = self.retained() if contested else {}
        for topic, wills in contested.items():
            is_one = found.get(topic) in wills
            self.ledger.check(f"{self.moment}: {since}a will of these is retained on {topic}: {wills}", True, is_one)
            if is_one:
                self.store[topic] = found[topic]


KEEPER = model.Who(cells.KEEPER, "keeper")
