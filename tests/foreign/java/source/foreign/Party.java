package foreign;

/** A connected client of any library and version; its methods wait, but not for ever. */
interface Party {
    /** What a client heard; details are content type and user properties of 5. */
    record Message(String payload, int qos, boolean retained, String details) {}

    /** How a party connects. */
    record Hello(String id, boolean lasting, String willTopic) {}

    boolean hasSession();

    void subscribe(String topic, int qos) throws Exception;

    void publish(String topic, String payload, int qos, boolean retained) throws Exception;

    /** Publishes at QoS 1 with content type text/plain and the user property place=home; 5 only. */
    default void publishDescribed(String topic, String payload) throws Exception {
        throw new UnsupportedOperationException("3.1.1 has no properties");
    }

    Message take() throws Exception;

    void leave() throws Exception;

    /** A library in a version. */
    interface Library {
        Party connect(String host, int port, Hello hello) throws Exception;
    }
}
