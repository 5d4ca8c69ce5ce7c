// Paho C++ (mqtt::async_client) in 3.1.1 and 5.
//
// Usage: paho_cpp HOST PORT

#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <mqtt/async_client.h>

using namespace std::string_literals;
using std::chrono::seconds;

static const seconds PATIENCE{30};
static std::string broker;
static int failures = 0;

static void demand(bool is_true, const std::string &what) {
    if (!is_true) throw std::runtime_error(what);
}

/// A client that connects when it is made; what it hears waits in a queue.
class Party {
public:
    Party(int version, const std::string &id, bool lasting = false, const std::string &will_topic = "")
        : client(broker, id, mqtt::create_options(version)) {
        mqtt::connect_options options;
        options.set_mqtt_version(version);
        if (version == MQTTVERSION_5) {
            options.set_clean_start(!lasting);
            if (lasting) options.set_properties({{mqtt::property::SESSION_EXPIRY_INTERVAL, 600}});
        } else {
            options.set_clean_session(!lasting);
        }
        if (!will_topic.empty()) options.set_will(mqtt::will_options(will_topic, "unexpected exit"s, 2, false));
        client.start_consuming();
        auto token = client.connect(options);
        demand(token->wait_for(PATIENCE), "no CONNACK");
        session_present = token->get_connect_response().is_session_present();
    }

    void subscribe(const std::string &topic, int qos) { demand(client.subscribe(topic, qos)->wait_for(PATIENCE), "no SUBACK"); }

    void publish(const mqtt::message_ptr &message) { demand(client.publish(message)->wait_for(PATIENCE), "not completed"); }

    void publish(const std::string &topic, const std::string &payload, int qos, bool retained = false) {
        publish(mqtt::make_message(topic, payload, qos, retained));
    }

    mqtt::const_message_ptr take() {
        mqtt::const_message_ptr message;
        demand(client.try_consume_message_for(&message, PATIENCE) && message, "no message");
        return message;
    }

    void leave() { demand(client.disconnect()->wait_for(PATIENCE), "no end"); }

    bool session_present = false;

private:
    mqtt::async_client client;
};

static std::string own(const std::string &name) { return "paho-cpp-" + std::to_string(getpid()) + "/" + name; }

static void each_quality(int version) {
    Party party(version, own("quality"));
    for (int sent = 0; sent < 3; sent++) {
        for (int granted = 0; granted < 3; granted++) {
            auto topic = own("quality/" + std::to_string(version) + std::to_string(sent) + std::to_string(granted));
            party.subscribe(topic, granted);
            party.publish(topic, "presión", sent);
            auto message = party.take();
            demand(message->to_string() == "presión" && message->get_qos() == std::min(sent, granted),
                   "QoS " + std::to_string(message->get_qos()) + " '" + message->to_string() + "'");
        }
    }
    party.leave();
}

static void will_of_a_process_that_ends(int version) {
    auto topic = own("will/" + std::to_string(version));
    Party witness(version, own("witness"));
    witness.subscribe(topic, 2);
    pid_t child = fork();
    if (child == 0) _exit(execl("/proc/self/exe", "mortal", broker.c_str(), std::to_string(version).c_str(), topic.c_str(), nullptr));
    int status = 0;
    waitpid(child, &status, 0);
    demand(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the mortal client did not connect");
    auto will = witness.take();
    demand(will->to_string() == "unexpected exit" && will->get_qos() == 2, "'" + will->to_string() + "'");
    witness.leave();
}

static void retained_is_found(int version) {
    auto topic = own("retained");
    Party party(version, own("retaining"));
    party.publish(topic, "kept", 1, true);
    party.subscribe(topic, 1);
    auto message = party.take();
    demand(message->is_retained() && message->to_string() == "kept", "'" + message->to_string() + "'");
    party.publish(topic, "", 1, true);
    party.leave();
}

static void session_is_resumed(int version) {
    auto topic = own("session"), id = own("lasting" + std::to_string(version));
    Party first(version, id, true);
    demand(!first.session_present, "a session was there");
    first.subscribe(topic, 1);
    first.leave();
    Party publisher(version, own("publisher"));
    publisher.publish(topic, "one", 1);
    publisher.publish(topic, "two", 2);
    publisher.leave();
    Party again(version, id, true);
    demand(again.session_present, "the session is not there");
    for (auto expected : {"one", "two"}) {
        auto payload = again.take()->to_string();
        demand(payload == expected, "'" + payload + "' and not '" + expected + "'");
    }
    again.leave();
    Party(version, id).leave();
}

static void properties_arrive(int version) {
    auto topic = own("properties");
    Party party(version, own("describing"));
    party.subscribe(topic, 1);
    auto message = mqtt::make_message(topic, "x", 1, false);
    message->set_properties({{mqtt::property::CONTENT_TYPE, "text/plain"}, {mqtt::property::USER_PROPERTY, "place", "home"}});
    party.publish(message);
    auto got = party.take()->get_properties();
    auto type = mqtt::get<std::string>(got, mqtt::property::CONTENT_TYPE);
    auto [name, value] = mqtt::get<mqtt::string_pair>(got, mqtt::property::USER_PROPERTY);
    demand(type == "text/plain" && name == "place" && value == "home", type + " " + name + " " + value);
    party.leave();
}

static void check(int version, const std::string &name, const std::function<void(int)> &body) {
    auto full = "Paho C++ "s + (version == MQTTVERSION_5 ? "5 " : "3.1.1 ") + name;
    try {
        body(version);
        std::cout << "ok " << full << std::endl;
    } catch (const std::exception &error) {
        std::cout << "FAILED " << full << ": " << error.what() << std::endl;
        failures++;
    }
}

int main(int count, char **words) {
    if (count == 4 && words[0] == "mortal"s) {
        try {
            broker = words[1];
            Party mortal(std::stoi(words[2]), own("mortal"), false, words[3]);
            _exit(0); // without a word
        } catch (const std::exception &) {
            _exit(1);
        }
    }
    broker = "tcp://"s + words[1] + ":" + words[2];
    for (int version : {MQTTVERSION_3_1_1, MQTTVERSION_5}) {
        check(version, "each quality", each_quality);
        check(version, "will of a process that ends", will_of_a_process_that_ends);
        check(version, "retained is found", retained_is_found);
        check(version, "session is resumed", session_is_resumed);
    }
    check(MQTTVERSION_5, "properties arrive", properties_arrive);
    return failures > 0;
}
