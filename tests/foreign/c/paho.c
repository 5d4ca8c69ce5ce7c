// Paho C (MQTTClient) in 3.1, 3.1.1 and 5.
//
// Usage: paho_c HOST PORT

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <MQTTClient.h>

enum { PATIENCE_MS = 30000, TEXT = 200 };

static char broker[TEXT];
static int version;
static const char *version_name;
static char failure[3 * TEXT];

#define DEMAND(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            snprintf(failure, sizeof failure, __VA_ARGS__);                                                            \
            return 0;                                                                                                  \
        }                                                                                                              \
    } while (0)

// This run's own topic or client identifier: others may use the same broker.
static const char *own(const char *name) {
    static char text[8][TEXT];
    static int next;
    next = (next + 1) % 8;
    snprintf(text[next], TEXT, "paho-c-%d/%s/%s", (int)getpid(), version_name, name);
    return text[next];
}

struct hello {
    int lasting;
    const char *will_topic;
};

// Connects; NULL where the broker refuses.
static MQTTClient join(const char *id, struct hello hello, int *session_present) {
    MQTTClient client;
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = version;
    if (MQTTClient_createWithOptions(&client, broker, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) != MQTTCLIENT_SUCCESS) {
        return NULL;
    }
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    will.topicName = hello.will_topic;
    will.message = "unexpected exit";
    will.qos = 2;
    if (version == MQTTVERSION_5) {
        MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
        options.cleanstart = !hello.lasting;
        options.will = hello.will_topic ? &will : NULL;
        MQTTProperties properties = MQTTProperties_initializer;
        MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = 600};
        if (hello.lasting) {
            MQTTProperties_add(&properties, &expiry);
        }
        MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
        int reason = response.reasonCode;
        if (session_present) {
            *session_present = options.returned.sessionPresent;
        }
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
        return reason == MQTTCLIENT_SUCCESS ? client : NULL;
    }
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    options.MQTTVersion = version;
    options.cleansession = !hello.lasting;
    options.will = hello.will_topic ? &will : NULL;
    if (MQTTClient_connect(client, &options) != MQTTCLIENT_SUCCESS) {
        return NULL;
    }
    if (session_present) {
        *session_present = options.returned.sessionPresent;
    }
    return client;
}

// Subscribes; the code that was granted.
static int subscribe(MQTTClient client, const char *topic, int qos) {
    if (version == MQTTVERSION_5) {
        MQTTResponse response = MQTTClient_subscribe5(client, topic, qos, NULL, NULL);
        int code = response.reasonCode;
        MQTTResponse_free(response);
        return code;
    }
    return MQTTClient_subscribe(client, topic, qos) == MQTTCLIENT_SUCCESS ? qos : -1;
}

static int publish_with(MQTTClient client, const char *topic, const char *payload, int qos, int retained, MQTTProperties *properties) {
    MQTTClient_deliveryToken token;
    if (version == MQTTVERSION_5) {
        MQTTClient_message message = MQTTClient_message_initializer;
        message.payload = (void *)payload;
        message.payloadlen = (int)strlen(payload);
        message.qos = qos;
        message.retained = retained;
        if (properties) {
            message.properties = *properties;
        }
        MQTTResponse response = MQTTClient_publishMessage5(client, topic, &message, &token);
        int code = response.reasonCode;
        MQTTResponse_free(response);
        return code == MQTTCLIENT_SUCCESS && MQTTClient_waitForCompletion(client, token, PATIENCE_MS) == MQTTCLIENT_SUCCESS;
    }
    return MQTTClient_publish(client, topic, (int)strlen(payload), payload, qos, retained, &token) == MQTTCLIENT_SUCCESS &&
           MQTTClient_waitForCompletion(client, token, PATIENCE_MS) == MQTTCLIENT_SUCCESS;
}

static int publish(MQTTClient client, const char *topic, const char *payload, int qos, int retained) {
    return publish_with(client, topic, payload, qos, retained, NULL);
}

struct taken {
    char payload[TEXT];
    int qos;
    int retained;
    char content_type[TEXT];
    char user_value[TEXT];
    int expiry;
};

static void copy(char *to, MQTTLenString from) { snprintf(to, TEXT, "%.*s", from.len, from.data); }

// The next message; false where none comes.
static int take(MQTTClient client, struct taken *taken) {
    char *topic = NULL;
    int length;
    MQTTClient_message *message = NULL;
    memset(taken, 0, sizeof *taken);
    int code = MQTTClient_receive(client, &topic, &length, &message, PATIENCE_MS);
    if ((code != MQTTCLIENT_SUCCESS && code != MQTTCLIENT_TOPICNAME_TRUNCATED) || message == NULL) {
        return 0;
    }
    snprintf(taken->payload, TEXT, "%.*s", message->payloadlen, (char *)message->payload);
    taken->qos = message->qos;
    taken->retained = message->retained;
    MQTTProperty *type = MQTTProperties_getProperty(&message->properties, MQTTPROPERTY_CODE_CONTENT_TYPE);
    MQTTProperty *user = MQTTProperties_getProperty(&message->properties, MQTTPROPERTY_CODE_USER_PROPERTY);
    if (type) {
        copy(taken->content_type, type->value.data);
    }
    if (user) {
        copy(taken->user_value, user->value.value);
    }
    taken->expiry = (int)MQTTProperties_getNumericValue(&message->properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void leave(MQTTClient client) {
    if (version == MQTTVERSION_5) {
        MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL);
    } else {
        MQTTClient_disconnect(client, 1000);
    }
    MQTTClient_destroy(&client);
}

static int each_quality(void) {
    MQTTClient client = join(own("quality"), (struct hello){0}, NULL);
    DEMAND(client, "no connection");
    for (int sent = 0; sent < 3; sent++) {
        for (int granted = 0; granted < 3; granted++) {
            char name[TEXT];
            snprintf(name, TEXT, "quality/%d%d", sent, granted);
            struct taken taken;
            DEMAND(subscribe(client, own(name), granted) == granted, "QoS %d is not granted", granted);
            DEMAND(publish(client, own(name), "presión", sent, 0), "QoS %d is not completed", sent);
            DEMAND(take(client, &taken), "QoS %d at %d does not arrive", sent, granted);
            int expected = sent < granted ? sent : granted;
            DEMAND(taken.qos == expected && !strcmp(taken.payload, "presión"), "QoS %d '%s'", taken.qos, taken.payload);
        }
    }
    leave(client);
    return 1;
}

static int will_of_a_process_that_ends(void) {
    const char *topic = own("will");
    MQTTClient witness = join(own("witness"), (struct hello){0}, NULL);
    DEMAND(witness && subscribe(witness, topic, 2) == 2, "no witness");
    pid_t child = fork();
    if (child == 0) { // a process of its own, which ends without a word
        _exit(execl("/proc/self/exe", "mortal", broker, version_name, topic, (char *)NULL));
    }
    int status;
    waitpid(child, &status, 0);
    DEMAND(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the mortal client did not connect");
    struct taken will;
    DEMAND(take(witness, &will), "no will");
    DEMAND(will.qos == 2 && !strcmp(will.payload, "unexpected exit"), "QoS %d '%s'", will.qos, will.payload);
    leave(witness);
    return 1;
}

static int retained_is_found(void) {
    const char *topic = own("retained");
    MQTTClient client = join(own("retaining"), (struct hello){0}, NULL);
    DEMAND(client && publish(client, topic, "kept", 1, 1), "not published");
    struct taken taken;
    DEMAND(subscribe(client, topic, 1) == 1 && take(client, &taken), "nothing is stored");
    DEMAND(taken.retained && !strcmp(taken.payload, "kept"), "retained %d '%s'", taken.retained, taken.payload);
    DEMAND(publish(client, topic, "", 1, 1), "not erased");
    leave(client);
    return 1;
}

static int session_is_resumed(void) {
    const char *topic = own("session"), *id = own("lasting");
    int present = version == MQTTVERSION_3_1_1; // the library tells it for this version only
    MQTTClient first = join(id, (struct hello){.lasting = 1}, &present);
    DEMAND(first && !present && subscribe(first, topic, 1) == 1, "no new session");
    leave(first);
    MQTTClient publisher = join(own("publisher"), (struct hello){0}, NULL);
    DEMAND(publisher && publish(publisher, topic, "one", 1, 0) && publish(publisher, topic, "two", 2, 0), "not published");
    leave(publisher);
    MQTTClient again = join(id, (struct hello){.lasting = 1}, &present);
    DEMAND(again && present == (version == MQTTVERSION_3_1_1), "the session is not there");
    struct taken one, two;
    DEMAND(take(again, &one) && take(again, &two), "the queue is not delivered");
    DEMAND(!strcmp(one.payload, "one") && !strcmp(two.payload, "two"), "'%s' '%s'", one.payload, two.payload);
    leave(again);
    MQTTClient clean = join(id, (struct hello){0}, NULL);
    DEMAND(clean, "no clean session");
    leave(clean);
    return 1;
}

static int properties_arrive(void) {
    const char *topic = own("properties");
    MQTTClient client = join(own("describing"), (struct hello){0}, NULL);
    DEMAND(client && subscribe(client, topic, 1) == 1, "not subscribed");
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty type = {.identifier = MQTTPROPERTY_CODE_CONTENT_TYPE, .value.data = {10, "text/plain"}};
    MQTTProperty user = {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY, .value = {.data = {5, "place"}, .value = {4, "home"}}};
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, .value.integer4 = 600};
    MQTTProperties_add(&properties, &type);
    MQTTProperties_add(&properties, &user);
    MQTTProperties_add(&properties, &expiry);
    struct taken taken;
    DEMAND(publish_with(client, topic, "x", 1, 0, &properties) && take(client, &taken), "does not arrive");
    DEMAND(!strcmp(taken.content_type, "text/plain") && !strcmp(taken.user_value, "home"), "'%s' '%s'", taken.content_type, taken.user_value);
    DEMAND(taken.expiry > 500 && taken.expiry <= 600, "expiry %d", taken.expiry);
    MQTTProperties_free(&properties);
    leave(client);
    return 1;
}

static int failures;

static void check(const char *name, int (*body)(void)) {
    if (body()) {
        printf("ok Paho C %s %s\n", version_name, name);
    } else {
        printf("FAILED Paho C %s %s: %s\n", version_name, name, failure);
        failures++;
    }
    fflush(stdout);
}

static const struct { const char *name; int number; } VERSIONS[] = {
    {"3.1", MQTTVERSION_3_1}, {"3.1.1", MQTTVERSION_3_1_1}, {"5", MQTTVERSION_5}};

static void speak(const char *name) {
    for (int i = 0; i < 3; i++) {
        if (!strcmp(VERSIONS[i].name, name)) {
            version = VERSIONS[i].number;
            version_name = VERSIONS[i].name;
        }
    }
}

int main(int count, char **words) {
    if (count == 4 && !strcmp(words[0], "mortal")) {
        snprintf(broker, TEXT, "%s", words[1]);
        speak(words[2]);
        MQTTClient mortal = join(own("mortal"), (struct hello){.will_topic = words[3]}, NULL);
        _exit(mortal ? 0 : 1);
    }
    snprintf(broker, TEXT, "tcp://%s:%s", words[1], words[2]);
    for (int i = 0; i < 3; i++) {
        speak(VERSIONS[i].name);
        check("each quality", each_quality);
        check("will of a process that ends", will_of_a_process_that_ends);
        check("retained is found", retained_is_found);
        check("session is resumed", session_is_resumed);
    }
    check("properties arrive", properties_arrive);
    return failures > 0;
}
