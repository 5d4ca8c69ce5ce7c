"""What the broker has to do, by its manual and the standard alone; nothing of its code was read for this.

The manual is `src/manual/operations.md`: "Who may come in", "What they may do", "What a token allows". Rules are read from the texts that the broker gets.
"""
import ipaddress
import tomllib
from dataclasses import dataclass

ALLOWED = {"publish": {"publish", "all"}, "will": {"publish", "will", "all"}, "subscribe": {"subscribe", "all"},
           "deliver": {"subscribe", "receive", "all"}}


WHERE = {"address", "certificate", "common_name"}


@dataclass(frozen=True)
class Who:
    """What is known of a client that has come in."""
    user: str | None
    client: str
    groups: tuple = ()
    common_name: str | None = None
    certificate: str | None = None
    address: str | None = None  # None where there is none, which is as good as not known
    claim: dict | None = None  # what the token says of rights; None where there is none that says it
    is_known: bool = True  # whether address and certificate are: not those of who was away when a rule first asked for them


def matches(name, topic):
    """Whether a filter matches a topic, by 4.7 of the standard."""
    if topic.startswith("$") and name[0] in "+#":
        return False  # [MQTT-4.7.2-1]
    wanted, levels = name.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels):
            return False
        if level not in ("+", levels[place]):
            return False
        if place + 2 == len(wanted) and wanted[-1] == "#" and place + 1 == len(levels):
            return True  # `a/#` matches `a`
    return len(wanted) == len(levels)


def covers(right, wish):
    """Whether a right reaches all that a filter asks for: the right matches every topic that the filter does.

    A level that stands in neither of them speaks for all levels, so a few topics speak for all.
    """
    levels, other = wish.split("/"), "\x7fother"
    fixed = [other if level == "+" else level for level in levels if level != "#"]
    if levels[-1] != "#":
        return matches(right, "/".join(fixed))
    depth = len(right.split("/")) + 2
    topics = ["/".join(fixed + [other] * more) for more in range(depth)]
    return all(matches(right, topic) for topic in topics if topic)


def is_filter(name):
    """Whether the standard knows such a filter; the broker closes a connection that sends another."""
    levels = name.split("/")
    return bool(name) and all("+" not in level or level == "+" for level in levels) \
        and all("#" not in level or (level == "#" and place + 1 == len(levels)) for place, level in enumerate(levels))


def is_topic(name):
    return bool(name) and not set(name) & set("+#\0")


def stands_for(name):
    """What a name stands for as a level: nothing if it could be more, or less, than one."""
    return None if not name or set(name) & set("+#/\0") else name


def filled(pattern, who):
    """A rule's filter with the client's own names in it; None if one of them stands for nothing."""
    names = {"%u": stands_for(who.user), "%c": stands_for(who.client)}
    levels = [names.get(level, level) for level in pattern.split("/")]
    if None in levels or (levels[0].startswith("$") and levels[0] != pattern.split("/")[0]):
        return None  # nor does a name begin a topic with `$`
    return "/".join(levels)


def listed(value):
    return [value] if isinstance(value, str) else list(value)


def claimed(who, key, fits):
    """Whether the claim of a token leaves it to the files: one of its filters fits, or there is no claim."""
    if who.claim is None:
        return True
    names = [filled(name, who) for name in who.claim.get(key, ())]
    return any(name is not None and fits(name) for name in names)


FILTERS_MAX = 64  # in each list of a claim


def is_claim(value):
    """Whether a claim says something; one that does not refuses its token."""
    if not isinstance(value, dict) or not set(value) <= {"pub", "sub"}:
        return False
    for names in value.values():
        if not isinstance(names, list) or len(names) > FILTERS_MAX or not all(isinstance(name, str) for name in names):
            return False
        for name in names:
            parts = [level for level in name.split("/") if level not in ("%u", "%c")]
            if not is_filter(name) or name.startswith("$share/") or any("%u" in part or "%c" in part for part in parts):
                return False
    return True


class Rights:
    """What somebody may do: what the files allow and his token does not take away."""

    def may_connect(self, who):
        return self.lets_in(who)

    def may_publish(self, who, topic, qos, retain, action="publish"):
        return claimed(who, "pub", lambda right: matches(right, topic)) and self.lets_publish(who, topic, qos, retain, action)

    def may_subscribe(self, who, name, qos):
        return claimed(who, "sub", lambda right: covers(right, name)) and self.lets_subscribe(who, name, qos)

    def may_receive(self, who, topic):
        return claimed(who, "sub", lambda right: matches(right, topic)) and self.lets_receive(who, topic)


class Nothing(Rights):
    """No rules: everybody may do everything but publish below `$SYS`."""

    asks_where = False

    def lets_in(self, who):
        return True

    def lets_publish(self, who, topic, qos, retain, action):
        return not matches("$SYS/#", topic)

    def lets_subscribe(self, who, name, qos):
        return True

    def lets_receive(self, who, topic):
        return True


class Own(Rights):
    """Rules in TOML: the first that applies decides."""

    def __init__(self, source):
        read = tomllib.loads(source)
        self.groups, self.rules = read.get("groups", {}), read["rule"]
        self.asks_where = any(WHERE & set(rule.get("who", {})) for rule in self.rules)

    def applies(self, rule, who):
        """Whether the conditions of a rule hold; what is not known counts against the client."""
        denies = rule["effect"] == "deny"
        for key, wanted in rule.get("who", {}).items():
            if not who.is_known and key in WHERE:
                holds = denies
            elif key == "anonymous":
                holds = wanted == (who.user is None)
            elif key == "user":
                holds = who.user in listed(wanted)
            elif key == "group":
                holds = any(group in who.groups or (who.user is not None and who.user in self.groups.get(group, ()))
                            for group in listed(wanted))
            elif key == "client":
                holds = any(self.is_called(who, name) for name in listed(wanted))
            elif key == "common_name":
                holds = who.common_name in listed(wanted)
            elif key == "certificate":
                holds = who.certificate in listed(wanted)
            elif key == "address":
                holds = denies if who.address is None else \
                    any(ipaddress.ip_address(who.address) in ipaddress.ip_network(net) for net in listed(wanted))
            else:
                raise KeyError(key)
            if not holds:
                return False
        return True

    @staticmethod
    def is_called(who, pattern):
        begins = pattern.endswith("*")
        pattern = pattern.removesuffix("*")
        if pattern.startswith("%u"):
            own = stands_for(who.user)
            if own is None:
                return False
            pattern = own + pattern[2:]
        return who.client.startswith(pattern) if begins else who.client == pattern

    def first(self, actions, who, fits, qos=0, retain=False):
        for rule in self.rules:
            if not set(listed(rule["actions"])) & actions or not self.applies(rule, who):
                continue
            if rule["effect"] == "allow" and (qos > rule.get("qos_max", 2) or (retain and not rule.get("retain", True))):
                continue
            topics = [filled(name, who) for name in listed(rule.get("topics", []))]
            if fits is None or any(name is not None and fits(name) for name in topics):
                return rule["effect"] == "allow"
        return None

    def lets_in(self, who):
        said = self.first({"connect"}, who, None)
        is_needed = any(rule["effect"] == "allow" and "connect" in listed(rule["actions"]) for rule in self.rules)
        return not is_needed if said is None else said

    def lets_publish(self, who, topic, qos, retain, action):
        return bool(self.first(ALLOWED[action], who, lambda right: matches(right, topic), qos, retain))

    def lets_subscribe(self, who, name, qos):
        return bool(self.first(ALLOWED["subscribe"], who, lambda right: covers(right, name), qos))

    def lets_receive(self, who, topic):
        return bool(self.first(ALLOWED["deliver"], who, lambda right: matches(right, topic)))


class Mosquitto(Rights):
    """An acl_file: a client's own lines decide first, then those of everybody; denials first in either part."""

    asks_where = False

    def __init__(self, source):
        self.lines, user = [], None  # (whose, access, filter); `...` is everybody
        for line in source.splitlines():
            word, _, rest = line.strip().partition(" ")
            if word == "user":
                user = rest.strip()
            elif word in ("topic", "pattern"):
                access, _, name = rest.strip().partition(" ")
                if access not in ("read", "write", "readwrite", "deny"):
                    access, name = "readwrite", rest.strip()
                self.lines.append((... if word == "pattern" else user, access, name))

    def may(self, who, topic, access):
        own = [(given, name) for whose, given, name in self.lines if whose is not ... and whose == who.user]
        all_ = [(given, filled(name, who)) for whose, given, name in self.lines if whose is ...]
        for part in (own, all_):
            given = {given for given, name in part if name is not None and matches(name, topic)}
            if "deny" in given:
                return False
            if given & {access, "readwrite"}:
                return True
        return False

    def lets_in(self, who):
        return True

    def lets_publish(self, who, topic, qos, retain, action):
        return self.may(who, topic, "write")

    def lets_subscribe(self, who, name, qos):
        return True  # to subscribe needs no right

    def lets_receive(self, who, topic):
        return self.may(who, topic, "read")


# What a refusal sounds like, by what was asked and the protocol's version.
def refused_login(version):
    return 0x86 if version == 5 else 4


def refused_connect(version):
    return 0x87 if version == 5 else 5


def connack(rules, who, version, will=None):
    """The code in CONNACK of who has proven its name; a `will`, (topic, qos, retain), that it may not leave keeps it out."""
    may = rules.may_connect(who) and (will is None or rules.may_publish(who, *will, "will"))
    return 0 if may else refused_connect(version)


def refused_session(version):
    """A session belongs to who made it."""
    return 0x87 if version == 5 else 5


def suback(rules, who, version, name, qos):
    """The code in SUBACK; a shared subscription has the right of its filter."""
    if rules.may_subscribe(who, own_filter(name), qos):
        return qos
    return 0x87 if version == 5 else 0x80


def own_filter(name):
    """The filter of a subscription, without the group that shares it."""
    return name.split("/", 2)[2] if name.startswith("$share/") else name


def puback(rules, who, version, topic, qos, retain):
    """What a publisher hears: the reason, or None at quality of service 0. One of 3.x knows no word for a refusal."""
    if qos == 0:
        return None
    return 0 if version != 5 or rules.may_publish(who, topic, qos, retain) else 0x87


def delivered(rules, who, name, granted, messages):
    """Which of (topic, qos) come of a granted subscription, and with which quality of service."""
    out = {}
    for topic, qos in messages:
        if matches(own_filter(name), topic) and rules.may_receive(who, topic):
            out[topic] = min(qos, granted)
    return out
