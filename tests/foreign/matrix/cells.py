"""What the matrix is made of: who comes, by which names and ways, which topics and filters, and the rules of each moment."""
from dataclasses import dataclass, replace

PASSWORD = "open sesame"
VERSIONS = {3: "3.1", 4: "3.1.1", 5: "5"}
WAYS = ("tcp", "tls", "ws", "wss", "unix", "proxy", "proxy1")
KEEPER = "keeper"  # who leaves retained messages and sees what comes of the others'

# What is known of a client's address by the way it comes; a socket in the file system has none.
ADDRESS = {"unix": None, "proxy": "10.1.2.3", "proxy1": "10.1.2.3"}


@dataclass(frozen=True)
class Actor:
    """A client: how it proves who it is, and how it calls itself; without `client` it takes a name of its own each time."""
    name: str
    user: str | None = None
    client: str | None = None
    token: bool = False
    groups: tuple = ()
    certificate: str | None = None
    claim: dict | None = None  # what its token says of rights
    later: object = ...  # what the next one says; the same, if nothing is said here

    def ways(self):
        return ("mutual",) if self.certificate else WAYS


    def again(self):
        """The same with its next token."""
        return self if self.later is ... else replace(self, claim=self.later, later=...)


USERS = ["alice", "Alice", "bob", "+", "a/b", "%u", "%c", "*", "žofie", "$x", "alice-x"]
ACTORS = (
    [Actor("anonymous")]
    + [Actor(f"user {user}", user) for user in USERS]
    + [Actor("token tina", "tina", token=True, groups=("crew",)),
       Actor("token #", "#", token=True), Actor("token +/+", "+/+", token=True, groups=("staff",)),
       Actor("certificate cnx", "cnx", certificate="cnx"), Actor("certificate +", "+", certificate="+")]
    + [Actor(f"alice as {client}", "alice", client) for client in "+ # a/b %c %u * alice $x žofie".split()]
)


def claim(pub="", sub=""):
    """What a token may say of rights, beside what all these clients need to be heard here."""
    return {"pub": ["$barrier/done", *pub.split()], "sub": ["$barrier/#", *sub.split()]}


SEVERAL = claim(
    "m/open/# m/u/%u/# m/c/%c/# m/+/gap m/will/x m/nowill/+ m/quick/x $x/y +/other m/once/# m/group/#",
    "m/open/+ m/open/deep/# m/u/+/x m/c/%c/# m/safe/# $x/# +/other m//+ m/quick/x m/group/# m/star/+",
)
EVERYTHING = claim("# $x/# $SYS/#", "# $x/# $SYS/#")

# Clients whose tokens say what they may do, and a few of whom nothing is said; `later` is the token that they come back with.
CLAIMING = [
    Actor("anonymous"),
    Actor("user alice", "alice"),
    Actor("certificate cnx", "cnx", certificate="cnx"),
    Actor("token without a claim", "tina", token=True, groups=("crew",)),
    Actor("token that says less later", "tina", token=True, groups=("crew",), later=claim("m/u/%u/x m/open", "m/open m/c/%c/x")),
    Actor("claim of several filters", "tina", token=True, groups=("crew",), claim=SEVERAL, later=claim("", "m/open/deep $x/y")),
    Actor("claim of alice", "alice", token=True, claim=SEVERAL, later=EVERYTHING),
    Actor("claim that is gone later", "bob", token=True, claim=SEVERAL, later=None),
    Actor("claim of nothing", "bob", token=True, claim=claim(), later=claim("#", "#")),
    Actor("claim of everything", "alice", token=True, groups=("staff",), claim=EVERYTHING, later=claim()),
    Actor("claim of #", "žofie", token=True, claim=claim("#", "#"), later=claim("+/+", "+/+ m/+/deep/#")),
    Actor("claim to publish", "tina", token=True, claim={"pub": ["m/#", "/m/+", "$barrier/done"], "sub": ["$barrier/#"]}),
    Actor("claim to subscribe", "$x", token=True, claim=claim("", "m/# %u/y m/u/%u/+ /m/+"), later=claim("m/open", "m/+/+")),
    Actor("claim of +/+", "+/+", token=True, groups=("staff",), claim=claim("%u/y m/u/%u/# m/+/x m/%u", "%u/# m/u/%u/# m/c/%c/+ m/%u")),
    Actor("claim of %u", "%u", token=True, claim=claim("m/u/%u/# %u/y m/star/%u", "m/u/%u/# m/u/+/x m/star/%u")),
    Actor("claim as %c", "alice", "%c", token=True, claim=SEVERAL),
    Actor("claim as #", "tina", "#", token=True, claim=claim("m/c/%c/# m/u/%u/#", "m/c/%c/# m/u/%u/# m/c/+/x")),
    Actor("claim as a/b", "bob", "a/b", token=True, claim=EVERYTHING),
]

# Claims by themselves: what a token with one of these lets somebody do is told by the model, and nothing by one that is malformed.
CLAIMS = [
    {}, {"pub": []}, {"sub": []}, {"pub": [], "sub": []}, {"pub": ["m/open"]}, {"sub": ["m/open"]}, {"sub": ["m/+", "m/u/%u/x"]},
    {"pub": ["#"], "sub": ["#"]}, {"pub": ["m/c/%c"], "sub": ["m/c/%c"]}, {"pub": ["%u"], "sub": ["%c/#"]},
    {"pub": [f"m/{number}" for number in range(63)] + ["m/open"], "sub": ["m/open"] * 64},
    {"pub": ["m/open", "$SYS/fake"], "sub": ["$SYS/#"]}, {"pub": ["M/open"], "sub": ["m/open/#"]}, {"pub": ["%"], "sub": ["%a"]},
    None, True, 1, 1.5, "", "m/#", [], ["m/#"], {"pub": None}, {"pub": "m/#"}, {"pub": {"m/#": 1}}, {"pub": 1}, {"sub": True},
    {"pub": [1]}, {"sub": [None]}, {"sub": [["m/#"]]}, {"sub": ["m/#", 2]}, {"pub": ["m/#/x"]}, {"sub": ["m+"]}, {"sub": ["m/#", ""]},
    {"sub": ["m/x#"]}, {"pub": ["m/open"] * 65}, {"sub": ["$share/g/m/open"]}, {"pub": ["$share/g/m/open"]}, {"pub": ["m/%ux"]},
    {"sub": ["m/x%c/y"]}, {"Pub": ["m/#"]}, {"publish": ["m/#"]}, {"pub": ["m/#"], "all": []}, {"pub": ["m/#"], "": []},
    {"sub": ["m/open"], "subs": ["m/#"]},
]
CLAIM_TOPICS = "m/open m/open/deep m/u/{u}/x m/c/{c} m/1 {u} M/open $SYS/fake n/other".split()
CLAIM_FILTERS = "m/open m/+ # m/open/# m/u/{u}/x m/c/{c} m/1 {c}/x $SYS/# $share/{g}/m/open $share/{g}/# n/other".split()

# A user's and a client's own name stand for {u} and {c}, a group that nobody else is in for {g}.
TOPICS = """
    m m/open m/open/deep m/open/deep/er M/open m/Open m//gap m/ /m/lead m/trail/ m/trail m/ünï/日本 m/u/alice/x
    m/u/Alice/x m/u/bob/x m/u/a/b/x m/u/%u/x m/u/%c/x m/u/*/x m/u//x m/u/žofie/x m/safe m/safe/gold m/quick/x
    m/group/x m/crew/x m/cn/x m/print/x m/anon/x m/addr/x m/noaddr/x m/star/alice m/will/x m/nowill/x m/once/x n/other $x/y
    $x $SYS/fake
""".split()
OWN_TOPICS = ["m/c/{c}/x", "m/c/{c}", "m/c/other/x", "m/u/{u}/x", "m/u/{u}"]  # published as well

FILTERS = """
    m m/open m/open/deep m/open/+ m/open/# m/+ m/+/deep m/+/+ m/# # +/# + +/+ +/open M/open M/# m//gap m/+/gap
    m//+ m/ /m/lead /# +/m/lead /+/lead m/trail/ m/trail/+ m/trail m/ünï/日本 m/+/日本 m/u/{u}/# m/u/{u}/x m/u/+/x
    m/u/bob/x m/u/alice/# m/u/# m/u//x m/c/{c}/# m/c/{c}/+ m/c/+/x m/c/# m/safe/# m/safe/gold m/safe m/quick/x
    m/quick/# m/once/# $x/# $x/y $x/+ $x $SYS/# $SYS/fake m/group/# m/crew/x m/cn/# m/print/# m/anon/# m/addr/# m/noaddr/x
    m/star/+ n/# n/other $share/{g}/m/open/# $share/{g}/m/open/deep $share/{g}/m/# $share/{g}/# $share/{g}/$x/#
    $share/{g}/m/safe/gold $share/{g}/m/u/{u}/x $share/{g}/m/u/+/x $share/{g}/M/open $share/{g}//m/lead
    $share/{g}/m/c/{c}/x
""".split()
WILLS = """
    m/open m/open/deep m/u/{u}/x m/c/{c}/x m/will/x m/nowill/x m/quick/x m/once/x n/other $x/y m/group/x m/crew/x
    m/cn/x m/print/x m/addr/x m/noaddr/x $SYS/fake
""".split()

OWN_GROUPS = """
[groups]
staff = ["bob", "+", "a/b"]
"""
OWN_KEEPER = """
[[rule]]
effect = "allow"
who = { user = "keeper" }
actions = "all"
topics = ["#", "$x/#", "$SYS/#", "$barrier/#"]

[[rule]]
effect = "allow"
actions = "subscribe"
topics = "$barrier/#"

[[rule]]
effect = "allow"
actions = "publish"
topics = "$barrier/done"
"""
OWN_BASE = OWN_GROUPS + OWN_KEEPER


def rule(effect, actions, topics, who="", more=""):
    """One rule of our own format, on lines of its own."""
    quoted = "[" + ", ".join(f'"{topic}"' for topic in topics.split()) + "]"
    limits = f"{more}\n" if more else ""  # before what a rule needs, as the manual asks
    conditions = f"who = {{ {who} }}\n" if who else ""
    acts = "[" + ", ".join(f'"{action}"' for action in actions.split()) + "]" if actions != "all" else '"all"'
    return f'\n[[rule]]\neffect = "{effect}"\n{conditions}{limits}actions = {acts}\ntopics = {quoted}\n'


OWN_BEFORE = OWN_BASE + rule("allow", "all", "unrelated/#")

# What anybody may; none of these rules asks for anything that may change between two connections.
OWN_PLAIN = (
    OWN_BASE
    + rule("allow", "subscribe", "m/safe/#", 'user = ["alice", "bob"], client = ["u*", "alice*", "+"]')
    + rule("deny", "receive", "m/safe/#")
    + rule("deny", "publish", "m/open/deep/er")
    + rule("deny", "will", "m/nowill/#")
    + rule("deny", "subscribe", "m/u/bob/#", 'user = "Alice"')
    + rule("allow", "will", "m/will/#")
    + rule("allow", "publish subscribe", "m/u/%u/#")
    + rule("allow", "all", "m/c/%c/#")
    + rule("allow", "subscribe", "m/open/+ m/+/deep")
    + rule("allow", "publish", "m/open/# m/nowill/#", more="qos_max = 1")
    + rule("allow", "publish subscribe", "m/quick/#", more="qos_max = 0\nretain = false")
    + rule("allow", "publish", "m/once/x", more="retain = false")
    + rule("allow", "subscribe", "m/once/x", more="qos_max = 1")
    + rule("allow", "publish", "+/other /m/+ m/+/日本 m/ m//gap m/trail/")
    + rule("allow", "subscribe", "+/other /m/# m/ünï/日本 m//+ m/trail/")
    + rule("allow", "publish subscribe", "m/anon/#", "anonymous = true")
    + rule("deny", "publish", "M/#", "anonymous = true")
    + rule("allow", "publish", "M/open m/safe/gold", "anonymous = false")
    + rule("allow", "receive", "M/#")
    + rule("allow", "all", "m/star/%u", 'client = ["%u", "%u-*"]')
    + rule("deny", "all", "m/star/#", 'user = "*"')
    + rule("allow", "subscribe", "m/star/#", 'client = "alice*"')
    + rule("allow", "all", "$x/#", 'user = ["alice", "$x", "cnx", "%u"]')
    + rule("allow", "all", "%u/y", 'user = "$x"')
    + rule("allow", "publish subscribe", "$SYS/#", 'user = "bob"')
    + rule("allow", "all", "#", 'user = ["žofie", "%c"]')
)

# Rules that ask where somebody comes from, by what and in which group.
OWN_WHERE = (
    OWN_PLAIN
    + rule("deny", "all", "m/noaddr/#", 'address = "10.0.0.0/8"')
    + rule("allow", "all", "m/noaddr/#")
    + rule("allow", "publish subscribe", "m/addr/#", 'address = ["10.0.0.0/8", "fd00::/8"]')
    + rule("allow", "all", "m/group/#", 'group = "staff"')
    + rule("allow", "publish subscribe", "m/crew/#", 'group = ["nobody", "crew"]')
    + rule("allow", "all", "m/cn/#", 'common_name = ["cnx"]')
    + rule("deny", "all", "n/#", 'common_name = "+"')
    + rule("deny", "receive", "m/once/#", 'certificate = "{fingerprint}"')
    + rule("allow", "all", "m/print/#", 'certificate = ["{fingerprint}"]')
    + rule("allow", "subscribe", "n/# m/+ m/+/gap", 'group = "staff", anonymous = false')
    + rule("allow", "subscribe", "+/#", 'group = "staff", user = "bob"')
)

# The same with rights that are gone.
OWN_GONE = (
    OWN_BASE
    + rule("deny", "all", "m/open/deep m/u/alice/# m/safe/gold", 'user = "alice"')
    + rule("deny", "receive", "/m/# m//gap")
    + rule("deny", "will", "m/will/# $x/#")
    + rule("deny", "publish", "m/ünï/#", "anonymous = false")
    + rule("allow", "subscribe", "m/open/deep m/open/deep/#")
    + rule("allow", "publish", "m/open/#", more="qos_max = 0")
    + rule("allow", "publish", "m/nowill/x m/will/x")
    + rule("allow", "subscribe", "m/once/x", more="qos_max = 0")
    + rule("allow", "publish subscribe", "m/u/%u/#", 'client = "u*"')
    + rule("allow", "subscribe", "+/other", 'group = "staff"')
    + rule("allow", "all", "m/crew/#", 'group = "staff"')
    + rule("allow", "all", "m/cn/#", 'address = "10.0.0.0/8"')
    + rule("allow", "publish subscribe", "m/addr/#", 'address = "192.0.2.0/24"')
    + rule("allow", "subscribe publish", "/m/# m//gap m/ünï/日本")
    + rule("allow", "all", "#", 'user = "%c"')
)

MOSQUITTO_BASE = """
user keeper
topic readwrite #
topic $x/#
topic $SYS/#
topic $barrier/#
pattern read $barrier/#
pattern write $barrier/done
"""

MOSQUITTO_WITH = MOSQUITTO_BASE + """
# Everybody, by name.
pattern readwrite m/u/%u/#
pattern m/c/%c/#
pattern read m/open/#
pattern deny m/safe
pattern write m/will/#
pattern readwrite %u/y

user alice
topic read m/safe/#
topic readwrite $x/#
topic write m/open
topic deny m/open/deep
topic read m/u/#

user bob
topic #
topic deny n/#
topic $SYS/#

user žofie
topic read +/open
topic write m//gap
topic read m/+/gap
topic /m/lead
topic m/ünï/日本

user +
topic read m/trail/
topic write m/trail/#

user tina
topic readwrite m/crew/#

user cnx
topic m/cn/#
"""

MOSQUITTO_GONE = """
topic read m/anon/x
topic write m/anon/x
topic deny m/open
""" + MOSQUITTO_BASE + """
pattern read m/open/deep
pattern m/c/%c/#
pattern deny m/u/alice/#

user alice
topic readwrite m/u/alice/#
topic read $x/y
topic write m/open

user bob
topic deny m/#
topic #

user cnx
topic deny m/cn/x
topic m/cn/#
"""

# Rules of who may come in.
CONNECT_DENIED = OWN_GROUPS + """
[[rule]]
effect = "deny"
who = { client = ["evil*", "%u-bad", "x"] }
actions = "connect"
""" + OWN_KEEPER + rule("allow", "all", "#")
CONNECT_NAMED = OWN_GROUPS + """
[[rule]]
effect = "deny"
who = { user = "bob", address = "10.0.0.0/8" }
actions = "connect"

[[rule]]
effect = "allow"
who = { client = ["%u", "%u-*", "x-any", "keeper*"] }
actions = "connect"

[[rule]]
effect = "allow"
who = { group = "crew" }
actions = "connect"

[[rule]]
effect = "allow"
who = { common_name = "cnx", client = "evil*" }
actions = "connect"
""" + OWN_KEEPER
CLIENT_IDS = """
    {u} {u}-1 {u}x {u}-bad evil1 Evil x x-any *-any + # +-1 a/b a/b-1 %u %u-1 * -1 žofie-2 alice-x
""".split()
