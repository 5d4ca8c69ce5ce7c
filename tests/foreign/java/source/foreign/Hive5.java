package foreign;

import com.hivemq.client.mqtt.MqttGlobalPublishFilter;
import com.hivemq.client.mqtt.datatypes.MqttQos;
import com.hivemq.client.mqtt.mqtt5.Mqtt5BlockingClient;
import com.hivemq.client.mqtt.mqtt5.Mqtt5Client;
import com.hivemq.client.mqtt.mqtt5.message.publish.Mqtt5Publish;
import java.util.stream.Collectors;

import static java.nio.charset.StandardCharsets.UTF_8;

/** HiveMQ's client in 5. */
final class Hive5 implements Party {
    private final Mqtt5BlockingClient client;
    private final Inbox inbox = new Inbox();
    private final boolean hasSession;

    Hive5(String host, int port, Hello hello) {
        client = Mqtt5Client.builder().identifier(hello.id()).serverHost(host).serverPort(port).buildBlocking();
        client.toAsync().publishes(MqttGlobalPublishFilter.ALL, this::hear);
        var connect = client.connectWith().cleanStart(!hello.lasting()).sessionExpiryInterval(hello.lasting() ? 600 : 0);
        if (hello.willTopic() != null) {
            connect = connect.willPublish().topic(hello.willTopic()).qos(MqttQos.EXACTLY_ONCE)
                    .payload("unexpected exit".getBytes(UTF_8)).applyWillPublish();
        }
        hasSession = connect.send().isSessionPresent();
    }

    private void hear(Mqtt5Publish heard) {
        var user = heard.getUserProperties().asList().stream().map(pair -> " " + pair.getName() + "=" + pair.getValue());
        String details = heard.getContentType().map(Object::toString).orElse("") + user.collect(Collectors.joining());
        String payload = new String(heard.getPayloadAsBytes(), UTF_8);
        inbox.put(new Message(payload, heard.getQos().getCode(), heard.isRetain(), details));
    }

    @Override public boolean hasSession() {
        return hasSession;
    }

    @Override public void subscribe(String topic, int qos) {
        var suback = client.subscribeWith().topicFilter(topic).qos(MqttQos.fromCode(qos)).send();
        Main.expect("the granted QoS", suback.getReasonCodes().get(0).getCode(), qos);
    }

    @Override public void publish(String topic, String payload, int qos, boolean retained) {
        client.publishWith().topic(topic).qos(MqttQos.fromCode(qos)).retain(retained).payload(payload.getBytes(UTF_8)).send();
    }

    @Override public void publishDescribed(String topic, String payload) {
        client.publishWith().topic(topic).qos(MqttQos.AT_LEAST_ONCE).payload(payload.getBytes(UTF_8))
                .contentType("text/plain").userProperties().add("place", "home").applyUserProperties().send();
    }

    @Override public Message take() throws Exception {
        return inbox.take();
    }

    @Override public void leave() {
        client.disconnect();
    }
}
