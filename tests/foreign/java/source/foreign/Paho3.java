package foreign;

import org.eclipse.paho.client.mqttv3.MqttClient;
import org.eclipse.paho.client.mqttv3.MqttConnectOptions;
import org.eclipse.paho.client.mqttv3.MqttMessage;
import org.eclipse.paho.client.mqttv3.persist.MemoryPersistence;

import static java.nio.charset.StandardCharsets.UTF_8;

/** Eclipse Paho for 3.1.1. */
final class Paho3 implements Party {
    private final MqttClient client;
    private final Inbox inbox = new Inbox();
    private final boolean hasSession;

    Paho3(String host, int port, Hello hello) throws Exception {
        client = new MqttClient("tcp://" + host + ":" + port, hello.id(), new MemoryPersistence());
        client.setTimeToWait(Inbox.PATIENCE_SECONDS * 1000L);
        client.setCallback(new org.eclipse.paho.client.mqttv3.MqttCallback() {
            @Override public void connectionLost(Throwable cause) {}

            @Override public void messageArrived(String topic, MqttMessage heard) {
                inbox.put(new Message(new String(heard.getPayload(), UTF_8), heard.getQos(), heard.isRetained(), ""));
            }

            @Override public void deliveryComplete(org.eclipse.paho.client.mqttv3.IMqttDeliveryToken token) {}
        });
        var options = new MqttConnectOptions();
        options.setMqttVersion(MqttConnectOptions.MQTT_VERSION_3_1_1);
        options.setCleanSession(!hello.lasting());
        if (hello.willTopic() != null) options.setWill(hello.willTopic(), "unexpected exit".getBytes(UTF_8), 2, false);
        hasSession = client.connectWithResult(options).getSessionPresent();
    }

    @Override public boolean hasSession() {
        return hasSession;
    }

    @Override public void subscribe(String topic, int qos) throws Exception {
        int granted = client.subscribeWithResponse(topic, qos).getGrantedQos()[0];
        Main.expect("the granted QoS", granted, qos);
    }

    @Override public void publish(String topic, String payload, int qos, boolean retained) throws Exception {
        client.publish(topic, payload.getBytes(UTF_8), qos, retained);
    }

    @Override public Message take() throws Exception {
        return inbox.take();
    }

    @Override public void leave() throws Exception {
        client.disconnect();
        client.close();
    }
}
