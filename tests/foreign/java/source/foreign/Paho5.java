package foreign;

import java.util.List;
import java.util.stream.Collectors;
import org.eclipse.paho.mqttv5.client.IMqttToken;
import org.eclipse.paho.mqttv5.client.MqttCallback;
import org.eclipse.paho.mqttv5.client.MqttClient;
import org.eclipse.paho.mqttv5.client.MqttConnectionOptions;
import org.eclipse.paho.mqttv5.client.MqttDisconnectResponse;
import org.eclipse.paho.mqttv5.client.persist.MemoryPersistence;
import org.eclipse.paho.mqttv5.common.MqttException;
import org.eclipse.paho.mqttv5.common.MqttMessage;
import org.eclipse.paho.mqttv5.common.packet.MqttProperties;
import org.eclipse.paho.mqttv5.common.packet.UserProperty;

import static java.nio.charset.StandardCharsets.UTF_8;

/** Eclipse Paho for 5. */
final class Paho5 implements Party, MqttCallback {
    private final MqttClient client;
    private final Inbox inbox = new Inbox();
    private final boolean hasSession;

    Paho5(String host, int port, Hello hello) throws Exception {
        client = new MqttClient("tcp://" + host + ":" + port, hello.id(), new MemoryPersistence());
        client.setTimeToWait(Inbox.PATIENCE_SECONDS * 1000L);
        client.setCallback(this);
        var options = new MqttConnectionOptions();
        options.setCleanStart(!hello.lasting());
        if (hello.lasting()) options.setSessionExpiryInterval(600L);
        if (hello.willTopic() != null) {
            options.setWill(hello.willTopic(), new MqttMessage("unexpected exit".getBytes(UTF_8), 2, false, null));
        }
        hasSession = client.connectWithResult(options).getSessionPresent();
    }

    @Override public boolean hasSession() {
        return hasSession;
    }

    @Override public void subscribe(String topic, int qos) throws Exception {
        Main.expect("the granted QoS", client.subscribe(topic, qos).getReasonCodes()[0], qos);
    }

    @Override public void publish(String topic, String payload, int qos, boolean retained) throws Exception {
        client.publish(topic, payload.getBytes(UTF_8), qos, retained);
    }

    @Override public void publishDescribed(String topic, String payload) throws Exception {
        var properties = new MqttProperties();
        properties.setContentType("text/plain");
        properties.setUserProperties(List.of(new UserProperty("place", "home")));
        client.publish(topic, new MqttMessage(payload.getBytes(UTF_8), 1, false, properties));
    }

    @Override public Message take() throws Exception {
        return inbox.take();
    }

    @Override public void leave() throws Exception {
        client.disconnect();
        client.close();
    }

    @Override public void messageArrived(String topic, MqttMessage heard) {
        var properties = heard.getProperties();
        var user = properties.getUserProperties().stream().map(pair -> " " + pair.getKey() + "=" + pair.getValue());
        String details = properties.getContentType() + user.collect(Collectors.joining());
        inbox.put(new Message(new String(heard.getPayload(), UTF_8), heard.getQos(), heard.isRetained(), details));
    }

    @Override public void disconnected(MqttDisconnectResponse response) {}

    @Override public void mqttErrorOccurred(MqttException error) {}

    @Override public void deliveryComplete(IMqttToken token) {}

    @Override public void connectComplete(boolean again, String server) {}

    @Override public void authPacketArrived(int reason, MqttProperties properties) {}
}
