package foreign;

import com.hivemq.client.mqtt.MqttGlobalPublishFilter;
import com.hivemq.client.mqtt.datatypes.MqttQos;
import com.hivemq.client.mqtt.mqtt3.Mqtt3BlockingClient;
import com.hivemq.client.mqtt.mqtt3.Mqtt3Client;
import com.hivemq.client.mqtt.mqtt3.message.publish.Mqtt3Publish;

import static java.nio.charset.StandardCharsets.UTF_8;

/** HiveMQ's client in 3.1.1. */
final class Hive3 implements Party {
    private final Mqtt3BlockingClient client;
    private final Inbox inbox = new Inbox();
    private final boolean hasSession;

    Hive3(String host, int port, Hello hello) {
        client = Mqtt3Client.builder().identifier(hello.id()).serverHost(host).serverPort(port).buildBlocking();
        client.toAsync().publishes(MqttGlobalPublishFilter.ALL, this::hear);
        var connect = client.connectWith().cleanSession(!hello.lasting());
        if (hello.willTopic() != null) {
            connect = connect.willPublish().topic(hello.willTopic()).qos(MqttQos.EXACTLY_ONCE)
                    .payload("unexpected exit".getBytes(UTF_8)).applyWillPublish();
        }
        hasSession = connect.send().isSessionPresent();
    }

    private void hear(Mqtt3Publish heard) {
        String payload = new String(heard.getPayloadAsBytes(), UTF_8);
        inbox.put(new Message(payload, heard.getQos().getCode(), heard.isRetain(), ""));
    }

    @Override public boolean hasSession() {
        return hasSession;
    }

    @Override public void subscribe(String topic, int qos) {
        var suback = client.subscribeWith().topicFilter(topic).qos(MqttQos.fromCode(qos)).send();
        Main.expect("the granted QoS", suback.getReturnCodes().get(0).getCode(), qos);
    }

    @Override public void publish(String topic, String payload, int qos, boolean retained) {
        client.publishWith().topic(topic).qos(MqttQos.fromCode(qos)).retain(retained).payload(payload.getBytes(UTF_8)).send();
    }

    @Override public Message take() throws Exception {
        return inbox.take();
    }

    @Override public void leave() {
        client.disconnect();
    }
}
