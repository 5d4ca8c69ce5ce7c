"""Who comes in: each proof with each name, by each way; and who has to go when users, rules or time say so."""
import itertools
import json

import broker as process
import cells
import model
import wire
from phases import CLAIM, KEEPER, Guest, numbers


class Proof:
    """What a client shows, and whom it proves: `user` is a name, None for nobody, or False for whoever is refused."""

    def __init__(self, name, user, given=None, password=None, groups=(), certificate=None, versions=(3, 4, 5)):
        self.name, self.user, self.given, self.password = name, user, given, password
        self.groups, self.certificate, self.versions = groups, certificate, versions


def proofs():
    right = cells.PASSWORD
    token = process.token("tina", ("crew",))
    forged = process.token("tina", ("crew",), secret=b"another secret of that length...")
    out = [Proof("nothing", None)] + [Proof(f"password of {user}", user, user, right) for user in cells.USERS]
    return out + [
        Proof("wrong password", False, "alice", right + "x"),
        Proof("empty password", False, "alice", ""),
        Proof("no password", False, "alice"),
        Proof("unknown user", False, "mallory", right),
        Proof("another user's capitals", False, "ALICE", right),
        Proof("empty name", False, "", right),
        Proof("a pattern for a name", False, "al+", right),
        Proof("token", "tina", "tina", token, ("crew",)),
        Proof("token under another name", "tina", "bob", token, ("crew",)),
        Proof("token without a name", "tina", None, token, ("crew",), versions=(5,)),
        Proof("password without a name", False, None, right, versions=(5,)),
        Proof("token that has ended", False, "tina", process.token("tina", ("crew",), -10)),
        Proof("token of somebody else", False, "tina", forged),
        Proof("token that is cut off", False, "tina", token[:-4]),
        Proof("certificate cnx", "cnx", certificate="cnx"),
        Proof("certificate +", "+", certificate="+"),
        Proof("certificate and a password", "cnx", "alice", right, certificate="cnx"),
        Proof("certificate and a wrong password", "cnx", "alice", "wrong", certificate="cnx"),
    ]


def claim_proofs(broker):
    """Tokens that say something of rights: where it is asked for, one that says it in no way that is known is refused."""
    return [Proof(f"claim {json.dumps(claim)[:80]}", "tina" if model.is_claim(claim) or not broker.asks_for_claims else False,
                  "tina", process.token("tina", ("crew",), **{CLAIM: claim}), ("crew",)) for claim in cells.CLAIMS]


def connecting(stage, turn, proofs):
    """Each proof with each client identifier, in turn over all versions and ways: the code in CONNACK."""
    stage.ledger.begin(f"{stage.moment}: connecting")
    for index, proof in enumerate(proofs):
        for place, form in enumerate(cells.CLIENT_IDS):
            version = proof.versions[(index + place + turn) % len(proof.versions)]
            way = "mutual" if proof.certificate else cells.WAYS[(index + 2 * place + turn) % len(cells.WAYS)]
            client = form.replace("{u}", proof.user or proof.given or "nobody")
            address = cells.ADDRESS.get(way, "127.0.0.1")
            who = model.Who(proof.user or None, client, proof.groups, proof.certificate, address=address)
            line = wire.Client(wire.reach(stage.broker.doors, way, proof.certificate), version)
            line.send(wire.connect(version, client, proof.given, proof.password))
            answer = line.answer(wire.CONNACK)
            wanted = model.refused_login(version) if proof.user is False else model.connack(stage.rules, who, version)
            ended = line.until(lambda: line.closed, 5.0) if wanted else None
            what = f"{stage.moment}: {proof.name} as {client}, MQTT {cells.VERSIONS[version]} over {way}: connect"
            stage.ledger.check(what, ([wanted], True if wanted else None), (answer, ended))
            line.send(wire.packet(0xE0, b""))
            line.until(lambda: line.closed, 5.0)  # its session has ended before the next one comes


def claiming(stage):
    """Claims that are as short as they may be, or as long: what each lets its client do, with nothing beside it."""
    stage.ledger.begin(f"{stage.moment}: claims by themselves")
    for index, claim in enumerate(claim for claim in cells.CLAIMS if model.is_claim(claim)):
        actor = cells.Actor(f"claim {json.dumps(claim)[:80]}", "tina", token=True, claim=claim)
        for version, place in itertools.product(cells.VERSIONS, range(2)):
            way = cells.WAYS[(3 * index + version + 4 * place) % len(cells.WAYS)]
            alone(stage, Guest(stage.broker, actor, version, way))
            for form in cells.CLAIM_TOPICS:
                will = (form.replace("{u}", "tina").replace("{c}", "w"), "W", index % 2, False)
                guest = Guest(stage.broker, actor, version, way, will=will)
                wanted = [model.connack(stage.rules, guest.who, version, (will[0], will[2], False))]
                answer = guest.line.answer(wire.CONNACK)
                stage.ledger.check(stage.cell(guest, f"connect with a will for {will[0]}"), wanted, answer)
                guest.line.leave()


def alone(stage, guest):
    """What one client may subscribe to, publish and be sent."""
    line, keeper, rules = guest.line, stage.keeper, stage.rules
    stage.ledger.check(stage.cell(guest, "connects"), [0], line.answer(wire.CONNACK))
    names, topics = ([guest.named(form) for form in forms] for forms in (cells.CLAIM_FILTERS, cells.CLAIM_TOPICS))
    codes = [model.suback(rules, guest.who, guest.version, name, 1) for name in names]
    found = line.answer(wire.SUBACK, line.subscribe(*[(name, 1) for name in names]))
    for name, code, answer in zip(names, codes, found or [None] * len(names)):
        stage.ledger.check(stage.cell(guest, f"subscribe {name}"), code, answer)
    granted = [name for name, code in zip(names, codes) if code < 0x80]
    # What is said to it: one copy for all its own subscriptions, one for each shared one.
    messages = [(topic, f"L{next(numbers)}", 1, False) for topic in topics if rules.may_publish(KEEPER, topic, 1, False)]
    stage.say(messages)
    due = {}
    for topic, payload, *_ in messages:
        hits = [name for name in granted if model.matches(model.own_filter(name), topic)]
        shared = sum(name.startswith("$share/") for name in hits)
        due[payload] = (shared + (len(hits) > shared)) if rules.may_receive(guest.who, topic) else 0
    keeper.until(lambda: all(payload in keeper.seen for _, payload, *_ in messages))
    line.until(lambda: all(line.seen.get(payload, 0) >= count for payload, count in due.items()), stage.ledger.grace())
    # What it says.
    said = [(topic, payload := f"P{next(numbers)}", line.publish(topic, payload, 1)) for topic in topics]
    for topic, payload, identifier in said:
        may = rules.may_publish(guest.who, topic, 1, False)
        wanted = (model.puback(rules, guest.who, guest.version, topic, 1, False), may)
        answer = (line.answer(wire.PUBACK, identifier) or ["nothing"])[0]
        keeper.until(lambda: payload in keeper.seen, stage.ledger.grace() if may else 0)
        stage.ledger.check(stage.cell(guest, f"publish {topic}"), wanted, (answer, payload in keeper.seen))
    for topic, payload, *_ in messages:
        stage.ledger.check(stage.cell(guest, f"receive {topic}"), due[payload], line.seen.get(payload, 0))
    keeper.heard.clear()
    line.leave()


def owning(stage):
    """A session belongs to who made it: another identity does not get it, whatever it shows."""
    stage.ledger.begin(f"{stage.moment}: sessions have owners")
    actors = [actor for actor in cells.ACTORS if not actor.client]
    for index, owner in enumerate(actors):
        version = 3 + index % 3
        client = f"own{next(numbers)}"
        own = Guest(stage.broker, owner, version, owner.ways()[index % len(owner.ways())], client, keep=True)
        own.line.answer(wire.CONNACK)
        others = [actor for actor in actors if actor.user != owner.user]
        for place, (other, clean) in enumerate(itertools.product(others, (True, False))):
            version, way = 3 + (index + place) % 3, other.ways()[(index + place) % len(other.ways())]
            came = Guest(stage.broker, other, version, way, client, keep=True, clean=clean)
            wanted, answer = [model.refused_session(version)], came.line.answer(wire.CONNACK)
            stage.ledger.check(stage.cell(came, f"connect to a session of {owner.name}, clean {clean}"), wanted, answer)
            came.line.cut()
        own.line.send(b"\xc0\x00")
        stage.ledger.check(stage.cell(own, "goes on while others ask for its session"), [0], own.line.answer(wire.PINGRESP))
        own.line.leave()


def ending(stage, without):
    """Users that are gone: their connections end, the others' do not, and sessions wait."""
    stage.ledger.begin("users gone: connections")
    actors = [actor for actor in cells.ACTORS if not actor.client]
    guests = [Guest(stage.broker, actor, version, way)
              for actor in actors for version in cells.VERSIONS for way in actor.ways()]
    for guest in guests:
        stage.ledger.check(stage.cell(guest, "connects"), [0], guest.line.answer(wire.CONNACK))
    stage.broker.reload(without=without)
    for guest in guests:
        line, is_gone = guest.line, guest.actor.user in without and not guest.actor.token and not guest.actor.certificate
        if is_gone:
            line.until(lambda: line.closed, 5.0)
        else:
            line.send(b"\xc0\x00")
            line.answer(wire.PINGRESP)
        wanted = (True, [0x87] if guest.version == 5 else None, None) if is_gone else (False, None, [0])
        found = (line.closed, line.answers.get((wire.DISCONNECT, 0)), line.answers.get((wire.PINGRESP, 0)))
        stage.ledger.check(stage.cell(guest, "when its user is gone" if is_gone else "when others are gone"), wanted, found)
        line.cut()
    for actor in actors:
        for version in cells.VERSIONS:
            guest = Guest(stage.broker, actor, version, actor.ways()[0])
            is_gone = actor.user in without and not actor.token and not actor.certificate
            wanted = [model.refused_login(version) if is_gone else 0]
            stage.ledger.check(stage.cell(guest, "connects after that"), wanted, guest.line.answer(wire.CONNACK))
            guest.line.cut()
    stage.broker.reload()


def standing(stage):
    """Clients that are in before it is said who may come in."""
    stage.ledger.begin("names are asked for: who is in")
    actors = [actor for actor in cells.ACTORS if not actor.client]
    guests = []
    for index, actor in enumerate(actors):
        for place, form in enumerate(("{u}-{i}", "{u}x{i}", "keeper-{i}", "x-any", "Evil{i}")):
            version = 3 + (index + place) % 3
            client = form.replace("{u}", actor.user or "nobody").replace("{i}", str(index))
            if form == "x-any" and index != 2:
                continue
            guests.append(Guest(stage.broker, actor, version, actor.ways()[(index + place) % len(actor.ways())], client))
    for guest in guests:
        stage.ledger.check(stage.cell(guest, "connects"), [0], guest.line.answer(wire.CONNACK))
    return guests


def still_there(stage, guests):
    """Who may not come in any more has to go, and hears why."""
    for guest in guests:
        line, may = guest.line, stage.rules.may_connect(guest.who)
        if may:
            line.send(b"\xc0\x00")
            line.answer(wire.PINGRESP)
        else:
            line.until(lambda: line.closed, 5.0)
        wanted = (not may, [0x87] if guest.version == 5 and not may else None)
        stage.ledger.check(stage.cell(guest, "was in before"), wanted, (line.closed, line.answers.get((wire.DISCONNECT, 0))))
        line.cut()


class Tokens:
    """Clients by tokens of a few seconds: each connection ends with its token."""

    def __init__(self, stage):
        self.stage = stage
        actor = next(actor for actor in cells.ACTORS if actor.name == "token tina")
        self.guests = [(seconds, Guest(stage.broker, actor, version, way, ends_in=seconds))
                       for seconds in (4, 3600) for version in cells.VERSIONS for way in actor.ways()]
        stage.ledger.begin("tokens end: connections")
        for _, guest in self.guests:
            stage.ledger.check(stage.cell(guest, "connects"), [0], guest.line.answer(wire.CONNACK))

    def end(self):
        stage = self.stage
        stage.ledger.begin("tokens end: connections")
        for seconds, guest in self.guests:
            line, has_ended = guest.line, seconds < 60
            if has_ended:
                line.until(lambda: line.closed, 10.0)
            else:
                line.send(b"\xc0\x00")
                line.answer(wire.PINGRESP)
            wanted = (has_ended, [0xA0] if has_ended and guest.version == 5 else None)
            found = (line.closed, line.answers.get((wire.DISCONNECT, 0)))
            stage.ledger.check(stage.cell(guest, f"with a token of {seconds} s"), wanted, found)
            line.cut()
